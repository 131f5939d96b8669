"""Tests against the oldest and the newest Temporal server that the documentation names."""
