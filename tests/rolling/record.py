"""Keeps the product's code of one commit: `python -m tests.rolling.record [COMMIT]`.

The rolling test starts from it. To be run at each release, with the commit that was released.
"""

import lzma
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
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
"""What is installed of the product, in any of its versions."""

PARTS = ("pyproject.toml", "README.md", *PACKAGES)
"""What a version is installed from."""


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout


def main(commit: str) -> None:
    """Write the archive; the same commit makes the same file."""
    there = git("ls-tree", "--name-only", commit).decode().split()
    tar = git("archive", "--format=tar", commit, *(part for part in PARTS if part in there))
    ARCHIVE.write_bytes(lzma.compress(tar, preset=9 | lzma.PRESET_EXTREME))
    sys.stdout.write(f"{ARCHIVE.name}: {ARCHIVE.stat().st_size // 1024} KB of {commit}\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "HEAD")
