"""Evidence: quality, baselines, cost, and the gates that are held against it."""
