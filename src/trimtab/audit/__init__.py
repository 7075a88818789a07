"""Evidence: quality, floor, cost, and the gates that are held against it."""
