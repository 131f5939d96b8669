"""Archive the product's code of one commit: `python -m tests.e2e.rolling.record [COMMIT]`.

The rolling test starts from it. Run it at each release with the released commit.
"""

import lzma
import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT

ARCHIVE = Path(__file__).with_name("previous.tar.xz")

PACKAGES = (
    *(
        "activities",
        "api",
        "cli.py",
        "codec_server",
        "contract",
        "integrator",
        "local",
    ),
    *("operations", "psp", "runtime", "sandbox_psp", "store", "worker.py", "workflows"),
)
"""Top-level packages and modules of the product in any version."""

PARTS = ("pyproject.toml", "README.md", *PACKAGES)
"""Files from which a version is installed."""


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout


def main(commit: str) -> None:
    """Write the archive; the same commit makes the same file."""
    existing = git("ls-tree", "--name-only", commit).decode().split()
    tar = git("archive", "--format=tar", commit, *(part for part in PARTS if part in existing))
    ARCHIVE.write_bytes(lzma.compress(tar, preset=9 | lzma.PRESET_EXTREME))
    sys.stdout.write(f"{ARCHIVE.name}: {ARCHIVE.stat().st_size // 1024} KB of {commit}\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "HEAD")
