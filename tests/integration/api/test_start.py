"""The API process before the database has its schema."""

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from integrator.healthcheck import check
from integrator.store.migrate import upgrade
from integrator.store.schema import known_revisions
from tests.integration.api.builders import auth
from tests.integration.api.conftest import assert_error
from tests.integration.api.serving import free_port
from tests.support.paths import ROOT


@dataclass
class Api:
    """An API process on the database of a folder."""

    process: asyncio.subprocess.Process
    env: dict[str, str]
    http: httpx.AsyncClient
    log: Path

    async def wait_for_store(self, text: str) -> httpx.Response:
        """Wait until `/readyz` reports this about the store; return the response."""
        async with asyncio.timeout(30):
            while True:
                response = await self.http.get("/readyz")
                if text in response.json()["store"]:
                    return response
                await asyncio.sleep(0.1)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'integrator.db'}"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """Start the API on a folder without a database; yield it when it serves."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("INTEGRATOR_")} | {
        "INTEGRATOR_DATA_DIR": str(tmp_path),
        "INTEGRATOR_API_PORT": str(free_port()),
        "INTEGRATOR_METRICS_PORT": "0",
        "INTEGRATOR_TEMPORAL_ADDRESS": "127.0.0.1:1",
    }
    log = tmp_path / "api.log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "api", cwd=ROOT, env=env, stderr=file
        )
    base_url = f"http://127.0.0.1:{env['INTEGRATOR_API_PORT']}"
    try:
        async with httpx.AsyncClient(base_url=base_url, trust_env=False) as http:
            async with asyncio.timeout(30):
                while await asyncio.to_thread(check, "api", env) is not None:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            yield Api(process, env, http, log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_is_alive_and_rejects_requests_until_the_schema_is_there(api: Api, url: str) -> None:
    response = await api.wait_for_store("has no schema")
    assert response.status_code == 503
    assert "`integrator migrate`" in response.json()["store"]
    for path in ("/api/Settings", "/api/Payment/t1", "/docs"):
        rejected = await api.http.get(path, headers=auth())
        assert_error(rejected, 503, "InternalError")
        assert rejected.headers["retry-after"]
    assert check("api", api.env) is None

    older = known_revisions()[-2]
    await upgrade(url, older)
    assert (await api.wait_for_store(f"revision {older}")).status_code == 503
    assert (await api.http.get("/api/Settings", headers=auth())).status_code == 503

    await upgrade(url)
    await api.wait_for_store("ok")
    assert (await api.http.get("/api/Settings", headers=auth())).status_code == 401
    log = api.log.read_text()
    assert log.count("Waiting to start: The database has no schema") == 1
    assert log.count(f"revision {older}") == 1


async def test_ends_at_once_on_sigterm_while_it_waits(api: Api) -> None:
    await api.wait_for_store("has no schema")
    api.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        assert await api.process.wait() == 0
    assert "Traceback" not in api.log.read_text()


async def test_serves_on_a_newer_schema(api: Api, tmp_path: Path, url: str) -> None:
    await upgrade(url, known_revisions()[-2])
    await api.wait_for_store("has schema revision")
    newest = tmp_path / "newest.db"
    await upgrade(f"sqlite+aiosqlite:///{newest}", known_revisions()[-1])
    with closing(sqlite3.connect(tmp_path / "integrator.db")) as connection:
        connection.execute("ATTACH ? AS newest", [str(newest)])
        missing = connection.execute(
            "SELECT sql FROM newest.sqlite_master WHERE type = 'table' "
            "AND name NOT IN (SELECT name FROM main.sqlite_master)"
        ).fetchall()
        connection.execute("BEGIN")
        for (statement,) in missing:
            connection.execute(statement)
        connection.execute("UPDATE alembic_version SET version_num = '9001'")
        connection.commit()
    await api.wait_for_store("ok")
