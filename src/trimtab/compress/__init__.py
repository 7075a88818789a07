"""From a trained network to the files that are served: export, and every step that makes it smaller or faster."""
