"""Bundles made of trained networks, measured on this machine, and the search for the cheapest that meets the gates."""
