"""The bundle: a folder of data that anyone can read. Nothing in it is executed when it is loaded."""
