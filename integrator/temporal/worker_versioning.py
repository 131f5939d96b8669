"""Worker identity, build id and worker versioning.

Versioning is off by default: a version of a worker deployment gets no task before an operator
promotes it, which a first run cannot wait for. Transactions run for up to 400 days, so no version
could ever be retired if they were pinned: they all move to the promoted one (AUTO_UPGRADE), and
workflow code distinguishes old histories by `patched()`.
"""

import os
import socket
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import WorkerDeploymentConfig

from integrator.settings import Settings

PRODUCT = "payment-integrator"
CODE_PATHS = ("activities", "integrator", "workflows", "worker.py")
"""Code of this product that a worker runs; external adapters have versions of their own."""

_SEPARATOR = " "


@dataclass(frozen=True)
class WorkerIdentity:
    """Parts of a worker's identity at Temporal."""

    process: str
    version: str
    build_id: str

    def __str__(self) -> str:
        return _SEPARATOR.join((self.process, self.version, self.build_id))


def identity(settings: Settings) -> str:
    """Return `<pid>@<host> <version> <build id>`, which Temporal shows for the worker's events."""
    process = f"{os.getpid()}@{socket.gethostname()}"
    return str(WorkerIdentity(process, version(PRODUCT), build_id(settings)))


def parse_identity(text: str) -> WorkerIdentity | None:
    """Parse the result of `identity`; None for another program's or an older worker."""
    parts = text.split(_SEPARATOR)
    return WorkerIdentity(*parts) if len(parts) == len(WorkerIdentity.__match_args__) else None


def build_id(settings: Settings) -> str:
    """Return the configured build id, else `<version>-<fingerprint of the code>`."""
    return settings.worker_build_id or f"{version(PRODUCT)}-{code_fingerprint()}"


@cache
def code_fingerprint() -> str:
    """Return 12 hexadecimal digits, equal wherever the same files are installed."""
    root = Path(__file__).parents[2]
    digest = sha256()
    for name in CODE_PATHS:
        path = root / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(root).as_posix()}\0".encode())
            digest.update(sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


def deployment_config(settings: Settings) -> WorkerDeploymentConfig | None:
    """Return the configured worker deployment version; None without versioning."""
    if settings.worker_deployment is None:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(settings.worker_deployment, build_id(settings)),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
    )
