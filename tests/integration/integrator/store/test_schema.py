"""Comparison of a database's schema with this code, on both databases."""

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import make_url, text

from integrator import startup
from integrator.crypto.keys import KeyRing
from integrator.store import SchemaOutdated, Store, StoreUnavailable
from integrator.store.engine import open_engine
from integrator.store.migrate import current_revision, upgrade
from integrator.store.schema import MIGRATIONS, is_newer, known_revisions, newest_revision

KEYS = KeyRing({"k": bytes(32)})
NEWER = "9001"


async def set_revision(url: str, revision: str) -> None:
    """Record another revision, as the migration of a later version does."""
    engine = open_engine(url)
    async with engine.execution_options(writes=True).begin() as connection:
        await connection.execute(
            text("UPDATE alembic_version SET version_num = :r"), {"r": revision}
        )
    await engine.dispose()


def test_the_revisions_are_those_of_alembic() -> None:
    scripts = list(ScriptDirectory(str(MIGRATIONS)).walk_revisions())
    assert known_revisions() == tuple(script.revision for script in reversed(scripts))
    assert newest_revision() == scripts[0].revision


def test_only_an_unknown_revision_is_newer() -> None:
    assert is_newer(NEWER)
    assert not any(is_newer(revision) for revision in (None, *known_revisions()))


async def test_an_empty_and_an_older_database_are_outdated(empty_url: str) -> None:
    async with Store(empty_url, KEYS) as store:
        with pytest.raises(SchemaOutdated, match=r"has no schema, .* `integrator migrate`"):
            await store.require_schema()
        assert await current_revision(empty_url) is None  # nothing was migrated
        older = known_revisions()[-2]
        await upgrade(empty_url, older)
        with pytest.raises(SchemaOutdated, match=rf"revision {older}, .* {newest_revision()}\."):
            await store.require_schema()
        assert await store.get_schema_revision() == await current_revision(empty_url) == older
        assert await upgrade(empty_url) == newest_revision()
        await store.require_schema()


async def test_a_newer_database_is_used_and_not_migrated(empty_url: str) -> None:
    await upgrade(empty_url)
    await set_revision(empty_url, NEWER)
    async with Store(empty_url, KEYS) as store:
        await store.require_schema()
        await store.ping()
    assert await upgrade(empty_url) == NEWER
    assert await current_revision(empty_url) == NEWER


@pytest.mark.parametrize("missing", ["database", "role"])
async def test_a_missing_database_or_role_is_unavailable(postgres_empty: str, missing: str) -> None:
    url = make_url(postgres_empty)
    url = url.set(database="missing") if missing == "database" else url.set(username="missing")
    async with Store(url.render_as_string(hide_password=False), KEYS) as store:
        with pytest.raises(StoreUnavailable, match="does not exist"):
            await store.require_schema()


async def test_a_role_without_permission_waits_for_it(postgres_empty: str) -> None:
    await upgrade(postgres_empty)
    url = make_url(postgres_empty)
    role = f"reader_{url.database}"
    reader = url.set(username=role).render_as_string(hide_password=False)
    engine = open_engine(postgres_empty)
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE ROLE {role} LOGIN"))
    try:
        async with Store(reader, KEYS) as store:
            with pytest.raises(startup.NotReady, match="permission denied for table"):
                await startup.require_schema(store)
            async with engine.begin() as connection:
                await connection.execute(text(f"GRANT SELECT ON alembic_version TO {role}"))
            await startup.require_schema(store)
    finally:
        async with engine.begin() as connection:
            await connection.execute(text(f"DROP OWNED BY {role}"))
            await connection.execute(text(f"DROP ROLE {role}"))
        await engine.dispose()
