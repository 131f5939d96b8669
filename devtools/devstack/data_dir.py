"""Paths in the data folder of a local run."""

from dataclasses import dataclass
from pathlib import Path

_MAX_LOG_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True)
class Layout:
    """File paths below one data folder; `root` is absolute."""

    root: Path

    @property
    def run_file(self) -> Path:
        """Addresses, merchants and pids; exists only while every server responds."""
        return self.root / "run.json"

    @property
    def lock_file(self) -> Path:
        return self.root / "lock"

    @property
    def demo_file(self) -> Path:
        """Token and PSP credentials of the merchant `demo`."""
        return self.root / "demo.json"

    @property
    def codec_token_file(self) -> Path:
        """Operators' token for the codec server of a local run."""
        return self.root / "codec-token"

    @property
    def temporal_file(self) -> Path:
        return self.root / "temporal.db"

    def log(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.log"

    def create_folders(self) -> None:
        """Create missing folders, accessible to this user only."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.log("any").parent.mkdir(mode=0o700, exist_ok=True)

    def rotate_logs(self) -> None:
        """Rename logs larger than 10 MiB, keeping one generation."""
        for log in self.log("any").parent.glob("*.log"):
            if log.stat().st_size > _MAX_LOG_BYTES:
                log.replace(log.with_suffix(".log.1"))
