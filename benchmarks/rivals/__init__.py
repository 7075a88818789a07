"""The rivals' side, run by the Python of an environment that has torch and transformers but no trimtab."""
