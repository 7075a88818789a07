"""What can be asked of a server: each file has `endpoints(server)`, and is found by being here."""
