"""Whole tables for training: read, clean, split, profile."""
