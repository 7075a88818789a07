"""Which rows are worth a label, and ways to give them one: in a terminal, or on a page. Nothing here needs PyTorch."""
