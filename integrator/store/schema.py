"""Comparison of a database's schema with the one that this code needs."""

from functools import cache
from pathlib import Path

from sqlalchemy import String, column, select, table

from integrator.store.errors import SchemaOutdated

MIGRATIONS = Path(__file__).parent / "migrations"

CURRENT_REVISION = select(column("version_num", String())).select_from(table("alembic_version"))
"""Alembic's own table; reading it directly saves a command the import of Alembic."""


@cache
def known_revisions() -> tuple[str, ...]:
    """Return the revisions of this code, oldest first: a migration's file name begins with its own.

    Not read by Alembic, which would load every migration.
    """
    files = (MIGRATIONS / "versions").glob("[0-9]*_*.py")
    return tuple(sorted(file.name.partition("_")[0] for file in files))


def newest_revision() -> str:
    """Return the revision that this code needs."""
    return known_revisions()[-1]


def is_newer(revision: str | None) -> bool:
    """Return whether a later version of the code has migrated the database.

    Such a schema is usable: migrations only add, so that a rollback leaves the schema as it is.
    """
    return revision is not None and revision not in known_revisions()


def require_current(revision: str | None) -> None:
    """Raise `SchemaOutdated` if the schema is missing or older than this code."""
    if revision != newest_revision() and not is_newer(revision):
        raise SchemaOutdated(revision, newest_revision())
