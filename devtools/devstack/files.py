"""Private files that are replaced atomically."""

import json
import os
import secrets
from pathlib import Path
from typing import Any


def write_private(file: Path, value: Any) -> None:
    """Write `value` as JSON to `file` atomically, with mode 0600."""
    temporary_file = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            json.dump(value, stream, indent=2)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        temporary_file.replace(file)
    except BaseException:
        temporary_file.unlink(missing_ok=True)
        raise


def read_json(file: Path) -> dict[str, Any] | None:
    """Return the JSON object in `file`; None if there is no file or it holds anything else."""
    try:
        value = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) else None
