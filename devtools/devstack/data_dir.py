"""What lies where in the data folder of a local run."""

from dataclasses import dataclass
from pathlib import Path

_LOG_LIMIT = 10 * 1024 * 1024


@dataclass(frozen=True)
class Layout:
    """The files below one data folder; `root` is absolute."""

    root: Path

    @property
    def run_file(self) -> Path:
        """What runs where; there only while everything answers."""
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
        """The operators' token for the codec server of a local run."""
        return self.root / "codec-token"

    @property
    def temporal_file(self) -> Path:
        return self.root / "temporal.db"

    def log(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.log"

    def make_folders(self) -> None:
        """Create what is missing, for this user only."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.log("any").parent.mkdir(mode=0o700, exist_ok=True)

    def turn_logs(self) -> None:
        """Set aside logs that have grown large, keeping one generation."""
        for log in self.log("any").parent.glob("*.log"):
            if log.stat().st_size > _LOG_LIMIT:
                log.replace(log.with_suffix(".log.1"))
