"""The release card for people: one self-contained page, and Markdown."""
