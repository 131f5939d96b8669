"""Errors of the report on versions."""


class OutdatedError(Exception):
    """The report cannot be made, or images cannot be pinned; the message contains the remedy."""
