"""Test the report's text and exit codes."""

from datetime import date
from pathlib import Path

import pytest

from devtools.outdated.__main__ import main
from tests.unit.devtools.outdated.fake_programs import FakePrograms

TODAY = date(2026, 11, 30)
DIGEST = f"sha256:{'3f' * 32}"
VERSIONS = """# checked 2026-11-20
POSTGRES_IMAGE=postgres:17
# checked 2026-08-01
CADDY_IMAGE=caddy:2.11.9
"""
PROGRAMS = FakePrograms(
    {
        "crane ls postgres": "17 18",
        "crane ls caddy": "2.11.9 2.11.10 2.12.0",
        "docker buildx imagetools inspect": f"{DIGEST}\n",
    }
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy/versions.env").write_text(VERSIONS)
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndependencies = ["rich>=14"]\n[project.optional-dependencies]\ndev = []\n'
    )
    for part in ("", "-dev", "-devtools", "-temporal", "-localstripe", "-client-generator"):
        (tmp_path / f"requirements{part}.lock").write_text("rich==15.0.0 \\\n")
    return tmp_path


def versions(root: Path) -> str:
    return (root / "deploy/versions.env").read_text()


def test_the_report_names_newer_tags_ages_and_what_was_not_checked(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([], root, PROGRAMS, TODAY) == 0
    output = capsys.readouterr().out
    assert "  .venv: not checked: not installed; `.ci/run` installs it\n" in output
    assert (
        "  postgres:17: 18 is the newest (crane); checked 10 days ago, not pinned by digest\n"
        "  caddy:2.11.9: 2.11.10 in the same minor version, 2.12.0 is the newest (crane); "
        "checked 121 days ago, not pinned by digest\n"
    ) in output
    assert versions(root) == VERSIONS


def test_an_old_check_fails_on_request_only(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--fail-older-than", "121"], root, PROGRAMS, TODAY) == 0
    assert main(["--fail-older-than", "120"], root, PROGRAMS, TODAY) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "CADDY_IMAGE was last checked on 2026-08-01: look for a newer version."


def test_pinning_writes_every_digest(root: Path) -> None:
    assert main(["--pin"], root, PROGRAMS, TODAY) == 0
    assert versions(root) == (
        f"# checked 2026-11-30\nPOSTGRES_IMAGE=postgres:17@{DIGEST}\n"
        f"# checked 2026-11-30\nCADDY_IMAGE=caddy:2.11.9@{DIGEST}\n"
    )


def test_pinning_without_a_registry_changes_nothing(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one_of_two = FakePrograms({"crane digest postgres:17": f"{DIGEST}\n"})
    assert main(["--pin"], root, one_of_two, TODAY) == 2
    assert "No digest for caddy:2.11.9: docker buildx: not installed" in capsys.readouterr().err
    assert versions(root) == VERSIONS
