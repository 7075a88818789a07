"""Hyper-parameter search: what trials may try, and what was found, kept by Optuna."""
