"""Errors that the store raises."""


class StoreError(Exception):
    """Base of the errors the store raises."""


class StoreUnavailable(StoreError):
    """The database cannot be reached, is locked, or has no schema yet; a retry may help."""


class SchemaMissing(StoreUnavailable):
    """The database has no such table: it was never migrated."""


class SchemaOutdated(StoreUnavailable):
    """The schema is missing or older than this code needs; the message contains the remedy."""

    def __init__(self, revision: str | None, needed: str) -> None:
        """Take the schema's revision, None without a schema, and the one this code needs."""
        found = "has no schema" if revision is None else f"has schema revision {revision}"
        super().__init__(
            f"The database {found}, and this version needs revision {needed}. Run `integrator "
            "migrate` of this version, or use the image of the version that is running."
        )


class NotFound(StoreError):
    """The row an operation refers to does not exist."""


class AlreadyExists(StoreError):
    """A row with this identity exists and may not be replaced."""


class Erased(StoreError):
    """The personal data of the agreement was erased and can no longer be read or used."""


class ConstraintViolated(StoreError):
    """The database rejected a row, such as a final status without evidence; a retry cannot help."""


class KeyMismatch(StoreError):
    """The key ring has another key under an id than the processes before."""

    def __init__(self, key_id: str) -> None:
        """Take the id of the key."""
        super().__init__(
            f"The key {key_id!r} of the key ring is another one than the key that was used under "
            "this id before. Put that key back into INTEGRATOR_KEYS, and give a new key an id of "
            "its own (`integrator keys generate`)."
        )
        self.key_id = key_id
