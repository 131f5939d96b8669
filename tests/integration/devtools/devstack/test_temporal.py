"""Program and command line of the Temporal server, and the environment of all processes."""

import sys
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from devtools.campaign.stack import free_ports
from devtools.devstack import temporal
from devtools.devstack.address import Addresses
from devtools.devstack.data_dir import Layout
from devtools.devstack.environment import child_environment
from devtools.devstack.errors import DevStackError
from integrator.admin.errors import OperatorError
from integrator.admin.migration import register_attributes
from integrator.settings import Settings
from integrator.temporal import attribute_registry
from tests.support.paths import ROOT


def test_the_command_line(tmp_path: Path) -> None:
    settings = Settings(bind="127.0.0.1", temporal_port=1, temporal_ui_port=2)
    argv = temporal.command_line(Path("/opt/temporal"), settings, Layout(tmp_path), "http://codec")
    assert argv == (
        "/opt/temporal",
        "server",
        "start-dev",
        *("--ip", "127.0.0.1", "--port", "1", "--ui-port", "2"),
        *("--db-filename", str(tmp_path / "temporal.db")),
        *("--namespace", "default"),
        *("--log-level", "warn"),
        *("--ui-disable-news-fetch", "--ui-codec-endpoint", "http://codec"),
        *("--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=full"),
        *attribute_registry.dev_server_options(),
        *("--dynamic-config-value", "history.transferProcessorMaxPollRPS=100"),
        *("--dynamic-config-value", "history.timerProcessorMaxPollRPS=100"),
        *("--dynamic-config-value", 'history.timerProcessorMaxTimeShift="50ms"'),
        *("--dynamic-config-value", "system.forceSearchAttributesCacheRefreshOnRead=false"),
    )


def test_the_search_attributes_are_registered() -> None:
    declared = attribute_registry.dev_server_options()[1::2]
    assert declared[0] == "Merchant=Keyword"
    assert {"AmountMinor=Int", "NeedsAttention=Bool"} < set(declared)
    types = [entry.split("=")[1] for entry in declared]
    # Limits of a namespace on PostgreSQL, MySQL or SQLite.
    limits = {"Keyword": 10, "Int": 3, "Bool": 3}
    assert all(types.count(name) <= limits[name] for name in types)


def test_compose_uses_the_same_dynamic_configuration() -> None:
    content = yaml.safe_load((ROOT / "deploy/temporal/dynamicconfig.yaml").read_text())
    values = {key: yaml.safe_load(value) for key, value in temporal.DYNAMIC_CONFIG.items()}
    assert {key: entries[0]["value"] for key, entries in content.items()} == values


def test_the_configured_program_is_used(tmp_path: Path) -> None:
    program = tmp_path / "temporal"
    program.touch(mode=0o755)
    assert temporal.find_binary(Settings(temporal_bin=program)) == program


def test_the_configured_program_must_exist(tmp_path: Path) -> None:
    with pytest.raises(DevStackError, match="INTEGRATOR_TEMPORAL_BIN"):
        temporal.find_binary(Settings(temporal_bin=tmp_path / "none"))


def test_the_program_next_to_the_interpreter_precedes_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("venv", "path"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "temporal").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv/python"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    settings = Settings(temporal_bin=None)
    assert temporal.find_binary(settings) == tmp_path / "venv/temporal"
    (tmp_path / "venv/temporal").unlink()
    assert temporal.find_binary(settings) == tmp_path / "path/temporal"
    (tmp_path / "path/temporal").unlink()
    with pytest.raises(DevStackError, match="INTEGRATOR_TEMPORAL_BIN"):
        temporal.find_binary(settings)


def test_child_processes_get_the_effective_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTEGRATOR_DATABASE_URL", "postgresql://elsewhere/db")
    monkeypatch.setenv("INTEGRATOR_OTHER", "kept")
    settings = Settings(
        database_url=None,
        data_dir=Path("relative"),
        api_port=5,
        keys=SecretStr("k:secret"),
        webhook_allowed_hosts=("a.example", "b.example"),
    )
    monkeypatch.chdir(tmp_path)
    env = child_environment(settings, Addresses.from_settings(settings))
    assert "INTEGRATOR_DATABASE_URL" not in env
    assert env["INTEGRATOR_OTHER"] == "kept"
    assert env["INTEGRATOR_DATA_DIR"] == str(tmp_path / "relative")
    assert env["INTEGRATOR_API_PORT"] == "5"
    assert env["INTEGRATOR_KEYS"] == "k:secret"
    assert env["INTEGRATOR_WEBHOOK_ALLOWED_HOSTS"] == "a.example,b.example"
    assert env["INTEGRATOR_SANDBOX_URL"] == "http://127.0.0.1:8090"


@pytest.mark.parametrize(
    ("bind", "host"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("::", "[::1]")],  # noqa: S104 - only named
)
def test_addresses_are_reachable_ones(bind: str, host: str) -> None:
    addresses = Addresses.from_settings(Settings(bind=bind))
    assert addresses.api == f"http://{host}:8080"
    assert addresses.temporal == f"{host}:7233"


def test_an_external_temporal_has_its_own_web_ui() -> None:
    settings = Settings(temporal_address="temporal.example:7233")
    assert Addresses.from_settings(settings).temporal_ui is None
    configured = settings.model_copy(update={"temporal_ui": "https://temporal.example/"})
    assert Addresses.from_settings(configured).temporal_ui == "https://temporal.example"
    assert Addresses.from_settings(configured).temporal == "temporal.example:7233"


async def test_an_unreachable_temporal_is_reported() -> None:
    settings = Settings(temporal_address=f"127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(OperatorError, match=r"127\.0\.0\.1:\d+ is unreachable"):
        await register_attributes(settings)
