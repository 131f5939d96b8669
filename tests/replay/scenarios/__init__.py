"""Scenarios of the stored histories; each is recorded under the name of its function."""
