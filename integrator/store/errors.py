"""What can go wrong between a caller and the database."""


class StoreError(Exception):
    """Base of every error the store raises on purpose."""


class StoreUnavailable(StoreError):
    """The database cannot be reached, is locked, or has no schema yet: trying again may help."""


class NotFound(StoreError):
    """The row an operation refers to does not exist."""


class AlreadyExists(StoreError):
    """A row with this identity exists and may not be replaced."""


class Erased(StoreError):
    """The personal data of the agreement was erased: it can neither be read nor used any more."""


class ConstraintViolated(StoreError):
    """The database refused a row, such as a final status without evidence: trying again is vain."""
