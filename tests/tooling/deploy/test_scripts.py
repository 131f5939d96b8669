"""Scripts that set up a deployment."""

import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.campaign.stack import free_ports
from integrator.crypto.keys import KeyRing
from integrator.settings import Settings
from tests.support.paths import ROOT
from tests.support.temporal import temporal_binary

TEMPORAL = ROOT / "deploy/temporal"


def test_secrets_are_generated_once_and_are_valid_settings(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    subprocess.run([ROOT / "deploy/secrets.sh", folder], check=True)
    contents = {file.name: file.read_text() for file in folder.iterdir()}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o644 for file in folder.iterdir())
    subprocess.run([ROOT / "deploy/secrets.sh", folder], check=True)
    assert {file.name: file.read_text() for file in folder.iterdir()} == contents
    assert len(set(contents.values())) == len(contents)
    settings = Settings(
        profile="production",
        keys_file=folder / "integrator_keys",
        database_url_file=folder / "integrator_database_url",
        codec_token_file=folder / "codec_token",
    )
    assert KeyRing.from_settings(settings).ids == ("k1",)
    password = contents["integrator_db_password"].strip()
    assert settings.resolved_database_url == (
        f"postgresql+asyncpg://integrator:{password}@postgres:5432/integrator"
    )
    assert settings.resolved_codec_token == contents["codec_token"].strip()


def install_fake_tool(folder: Path, exit_code: int = 0) -> Path:
    """Install a fake of Temporal's schema tool that records its calls; return the record's path."""
    folder.mkdir(exist_ok=True)
    program = folder / "temporal-sql-tool"
    program.write_text(f'#!/bin/sh\necho "$SQL_PASSWORD $*" >>"{folder}/calls"\nexit {exit_code}\n')
    program.chmod(0o755)
    return folder / "calls"


def run_schema_scripts(folder: Path) -> int:
    password = folder / "password"
    password.write_text("secret\n")
    env = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "TEMPORAL_DB_PASSWORD_FILE": str(password),
        "SQL_HOST": "db",
        "SQL_PORT": "5432",
        "SQL_USER": "temporal",
    }
    scripts = [str(TEMPORAL / name) for name in ("with-password.sh", "schema.sh")]
    argv = ["/bin/sh", scripts[0], "/bin/sh", scripts[1]]
    return subprocess.run(argv, env=env, check=False).returncode


def test_both_databases_get_their_schema(tmp_path: Path) -> None:
    calls = install_fake_tool(tmp_path)
    assert run_schema_scripts(tmp_path) == 0
    common = "secret --plugin postgres12 --endpoint db --port 5432 --user temporal --database"
    assert calls.read_text().splitlines() == [
        f"{common} {database} {action}"
        for database, schema in (("temporal", "temporal"), ("temporal_visibility", "visibility"))
        for action in (
            "setup-schema --version 0.0",
            f"update-schema --schema-name postgresql/v12/{schema}",
        )
    ]


def test_a_failing_schema_tool_fails_the_script(tmp_path: Path) -> None:
    calls = install_fake_tool(tmp_path, exit_code=1)
    assert run_schema_scripts(tmp_path) == 1
    assert len(calls.read_text().splitlines()) == 1


def run_init_script(folder: Path, exit_code: int = 0) -> int:
    """Run init.sh with a fake psql, which records arguments, environment and input apart."""
    program = folder / "psql"
    program.write_text(
        "#!/bin/sh\n"
        f'echo "$*" >"{folder}/arguments"\n'
        f'echo "$INTEGRATOR_PASSWORD $TEMPORAL_PASSWORD" >"{folder}/environment"\n'
        f'cat >"{folder}/input"\n'
        f"exit {exit_code}\n"
    )
    program.chmod(0o755)
    secrets = folder / "secrets"
    secrets.mkdir()
    for name in ("integrator", "temporal"):
        (secrets / f"{name}_db_password").write_text(f"{name}-secret\n")
    script = (ROOT / "deploy/postgres/init.sh").read_text()
    assert "/run/secrets/" in script
    env = {"PATH": f"{folder}:{os.environ['PATH']}", "POSTGRES_USER": "postgres"}
    script = script.replace("/run/secrets/", f"{secrets}/")
    return subprocess.run(["/bin/sh", "-c", script], env=env, check=False).returncode


def test_every_application_gets_a_role_that_owns_its_databases(tmp_path: Path) -> None:
    assert run_init_script(tmp_path) == 0
    sql = (tmp_path / "input").read_text()
    owners = re.findall(r"^CREATE DATABASE (\w+) OWNER (\w+);$", sql, re.MULTILINE)
    assert dict(owners) == {
        "integrator": "integrator",
        "temporal": "temporal",
        "temporal_visibility": "temporal",
    }
    for database, role in owners:
        assert f"CREATE ROLE {role} LOGIN PASSWORD :'{role}_password';" in sql
        assert f"\\getenv {role}_password {role.upper()}_PASSWORD" in sql
        assert f"REVOKE CONNECT ON DATABASE {database} FROM PUBLIC;" in sql


def test_passwords_of_roles_are_no_arguments(tmp_path: Path) -> None:
    assert run_init_script(tmp_path) == 0
    assert "secret" not in (tmp_path / "arguments").read_text()
    assert "secret" not in (tmp_path / "input").read_text()
    assert (tmp_path / "environment").read_text() == "integrator-secret temporal-secret\n"


def test_an_incomplete_initialisation_fails_the_script(tmp_path: Path) -> None:
    assert run_init_script(tmp_path, exit_code=3) == 3
    assert "ON_ERROR_STOP=1" in (tmp_path / "arguments").read_text()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a real Temporal server."""
    port, ui = free_ports(2)
    argv = [temporal_binary(), "server", "start-dev", "--headless", "--port", str(port)]
    with (tmp_path_factory.mktemp("server") / "log").open("wb") as log:
        process = subprocess.Popen([*argv, "--ui-port", str(ui)], stdout=log, stderr=log)
        try:
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


@pytest.mark.parametrize("name", ["payments", "default"])
def test_the_namespace_is_created_or_its_retention_changed(server: str, name: str) -> None:
    env = {
        "PATH": f"{Path(temporal_binary()).parent}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"),
        "TEMPORAL_ADDRESS": server,
        "TEMPORAL_NAMESPACE": name,
        "TEMPORAL_RETENTION": "2160h",
    }
    subprocess.run(["/bin/sh", TEMPORAL / "namespace.sh"], env=env, check=True)
    describe = ["temporal", "operator", "namespace", "describe", "--namespace", name]
    output = subprocess.run(describe, env=env, check=True, capture_output=True, text=True).stdout
    assert re.search(rf"NamespaceInfo.Name +{name}\n", output)
    assert re.search(r"WorkflowExecutionRetentionTtl +2160h0m0s\n", output)
