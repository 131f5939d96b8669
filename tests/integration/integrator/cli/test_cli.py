"""Command line of the administration commands."""

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from integrator.admin.migration import migrate
from integrator.cli import development
from integrator.cli import main as cli
from integrator.settings import Settings
from tests.support.paths import ROOT


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("INTEGRATOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("INTEGRATOR_DATA_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def migrated(folder: Path) -> Path:
    call("migrate", "--no-temporal")
    return folder


def call(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.usefixtures("folder")
def test_migrate_can_be_repeated() -> None:
    assert "up to date" in call("migrate", "--no-temporal")
    assert "up to date" in call("migrate", "--no-temporal")


@pytest.mark.usefixtures("folder")
def test_a_missing_schema_names_the_remedy() -> None:
    assert "integrator migrate" in call("merchant", "list", code=1)


@pytest.mark.usefixtures("migrated")
def test_merchants_are_added_and_listed() -> None:
    added = call("merchant", "add", "acme", "--psp", "sandbox")
    id = re.search(r"/api/notifications/sandbox/([0-9a-f]{24})", added)
    assert id is not None
    listed = call("merchant", "list")
    assert "acme" in listed
    assert id[1] in listed


@pytest.mark.usefixtures("migrated")
def test_invalid_merchants_are_rejected_with_the_reason() -> None:
    call("merchant", "add", "acme")
    assert "already exists" in call("merchant", "add", "acme", code=1)
    assert "Invalid merchant name" in call("merchant", "add", "A B", code=1)
    assert "known:" in call("merchant", "add", "other", "--psp", "none", code=1)


@pytest.mark.usefixtures("migrated")
def test_tokens_are_issued_to_existing_merchants() -> None:
    call("merchant", "add", "acme")
    first, second = call("token", "issue", "acme"), call("token", "issue", "acme")
    assert first.strip().startswith("itk_")
    assert first != second
    assert "does not exist" in call("token", "issue", "unknown", code=1)


@pytest.mark.usefixtures("migrated")
def test_tokens_are_listed_and_revoked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    call("merchant", "add", "acme")
    token = call("token", "issue", "acme", "--label", "first", "--days", "30").strip()
    call("token", "issue", "acme", "--label", "second", "--days", "0")
    listed = call("token", "list", "acme")
    assert token not in listed
    first, second = (line for line in listed.splitlines() if "first" in line or "second" in line)
    assert "valid" in first
    assert "expired" in second
    id = re.search(r"[0-9a-f]{24}", first)
    assert id is not None
    call("token", "revoke", "acme", id[0])
    assert "revoked" in call("token", "list", "acme")
    assert "no valid token" in call("token", "revoke", "acme", id[0], code=1)
    assert "does not exist" in call("token", "list", "unknown", code=1)


@pytest.mark.usefixtures("migrated")
def test_clients_are_added_listed_and_revoked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    call("merchant", "add", "acme")
    output = call("client", "add", "acme", "--label", "billwerk")
    match = re.fullmatch(r"client_id=([0-9a-f]{24})\nclient_secret=(ics_\S{43})\n", output)
    assert match is not None
    id, secret = match.groups()
    listed = call("client", "list", "acme")
    assert (id in listed, "billwerk" in listed, "valid" in listed) == (True, True, True)
    assert secret not in listed
    assert "revoked" in call("client", "revoke", "acme", id)
    assert "revoked" in call("client", "list", "acme")
    assert "no valid client" in call("client", "revoke", "acme", id, code=1)
    for command in (("add", "unknown"), ("list", "unknown"), ("revoke", "unknown", id)):
        assert "does not exist" in call("client", *command, code=1)


@pytest.mark.usefixtures("migrated")
def test_webhook_hosts_are_set_and_cleared() -> None:
    call("merchant", "add", "acme")
    assert "a.example" in call("merchant", "hosts", "acme", "a.example", "B.example")
    assert "allowed for all" in call("merchant", "hosts", "acme")
    assert "Invalid host name" in call("merchant", "hosts", "acme", "https://a.example/", code=1)
    assert "does not exist" in call("merchant", "hosts", "unknown", "a.example", code=1)


@pytest.mark.usefixtures("migrated")
def test_settings_are_shown_without_values() -> None:
    call("merchant", "add", "acme")
    output = call("settings", "show", "acme")
    assert "ApiKey" in output
    assert "not set" in output
    assert "does not exist" in call("settings", "show", "unknown", code=1)


@pytest.mark.usefixtures("folder")
def test_wrong_configuration_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTEGRATOR_API_PORT", "70000")
    assert "INTEGRATOR_API_PORT" in call("merchant", "list", code=1)


def test_a_run_that_cannot_start_reports_the_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTEGRATOR_TEMPORAL_BIN", str(folder / "none"))
    command = [sys.executable, "-m", "integrator.cli", "run"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "INTEGRATOR_TEMPORAL_BIN names" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_local_run_serves_no_https(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTEGRATOR_TLS_CERT_FILE", str(folder / "cert.pem"))
    monkeypatch.setenv("INTEGRATOR_TLS_KEY_FILE", str(folder / "key.pem"))
    command = [sys.executable, "-m", "integrator.cli", "run"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "plain HTTP on loopback" in result.stderr


async def test_migrate_reports_an_unreachable_database(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(OSError, match="file"):
        await migrate(Settings(data_dir=folder / "file"))


def test_the_version_is_printed() -> None:
    assert call("--version").strip() == version("payment-integrator")


@pytest.mark.parametrize("command", ["run", "demo"])
def test_a_development_command_without_its_distribution_says_how_to_get_it(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(development, "entry_points", lambda **_: ())
    output = call(command, code=1)
    assert f"make {command}" in output
    assert "pip install --no-deps ./devtools" in output


def test_development_commands_are_provided_by_their_own_distribution() -> None:
    provided = {entry.name: entry.dist for entry in entry_points(group=development.GROUP)}
    assert set(provided) == {"run", "demo"}
    names = {dist.name for dist in provided.values() if dist is not None}
    assert names == {"payment-integrator-devtools"}
