"""One file per encoder; the folder is the registry."""
