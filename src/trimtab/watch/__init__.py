"""Whether a bundle at work still does what it was released for: a log of its answers, and what has moved in it."""
