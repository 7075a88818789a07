"""One file per fusion; the folder is the registry."""
