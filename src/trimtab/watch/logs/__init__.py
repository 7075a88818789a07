"""One file per kind of log; the folder is the registry: `logs/sqlite.py` makes `sqlite:///answers.db` work."""
