"""What the stored histories tell: each story is recorded as the history of its name."""
