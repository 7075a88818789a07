"""A bundle behind HTTP: requests are read, gathered to batches, answered and counted; nothing here needs PyTorch."""
