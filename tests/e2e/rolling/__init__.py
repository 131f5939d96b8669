"""Replacing running code by other code: versions, and workers rolled under load."""
