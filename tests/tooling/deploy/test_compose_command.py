"""The tests find Docker Compose wherever it is installed, and no version 1."""

from pathlib import Path

import pytest

from tests.support import compose


def install(program: Path, version: str) -> None:
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only folder of PATH; the test engine's folder is beside it."""
    path = tmp_path / "bin"
    path.mkdir()
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setenv("INTEGRATOR_TEST_CACHE", str(tmp_path / "cache"))
    return path


def find() -> tuple[str, ...] | None:
    return compose.compose_command.__wrapped__()


@pytest.mark.parametrize("version", ["2.26.1-4", "v2.24.0", "5.0.1"])
def test_dockers_plugin_comes_first(folder: Path, version: str) -> None:
    install(folder / "docker", version)
    install(folder / "docker-compose", "2.24.0")
    assert find() == ("docker", "compose")


def test_a_program_of_version_2(folder: Path) -> None:
    install(folder / "docker-compose", "2.24.0")
    assert find() == ("docker-compose",)


def test_the_test_engines_plugin_instead_of_version_1(folder: Path) -> None:
    install(folder / "docker-compose", "1.29.2")
    assert find() is None
    plugin = folder.parent / "cache/engine/engine/usr/libexec/docker/cli-plugins" / "docker-compose"
    install(plugin, "2.26.1-4")
    assert find() == (str(plugin),)


def test_docker_without_the_plugin(folder: Path) -> None:
    (folder / "docker").write_text("#!/bin/sh\nexit 1\n")
    (folder / "docker").chmod(0o755)
    assert find() is None
