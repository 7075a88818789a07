"""Trimtab: from a pretrained model and your own data to a small, audited model that you can ship."""

__version__ = "0.1.0"
