"""One file per head; the folder is the registry."""
