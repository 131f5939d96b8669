"""Checks of `doctor`; each module checks one part and shows no secret."""
