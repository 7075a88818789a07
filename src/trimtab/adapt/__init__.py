"""A bundle that is made learns from more labelled rows: old and new ones in one request, its network grown and taught.

`pipeline/adapting.py` takes the steps in order; compression, audit and release are those of a launch.
"""
