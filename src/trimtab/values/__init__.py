"""Raw values: one rule for what a cell of a file, or a value of a request, says."""
