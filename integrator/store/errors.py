"""Errors that the store raises."""


class StoreError(Exception):
    """Base of the errors the store raises."""


class StoreUnavailable(StoreError):
    """The database cannot be reached, is locked, or has no schema yet; a retry may help."""


class NotFound(StoreError):
    """The row an operation refers to does not exist."""


class AlreadyExists(StoreError):
    """A row with this identity exists and may not be replaced."""


class Erased(StoreError):
    """The personal data of the agreement was erased and can no longer be read or used."""


class ConstraintViolated(StoreError):
    """The database rejected a row, such as a final status without evidence; a retry cannot help."""
