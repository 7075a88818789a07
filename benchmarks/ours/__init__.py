"""Our side: each module is run as a process of its own and prints one JSON object."""
