"""Training: from splits and columns to trained weights."""
