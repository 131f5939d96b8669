"""Which code a worker runs, and whether Temporal is told so.

Off by default: a version of a worker deployment gets no task before somebody promotes it, which a
first run cannot wait for. Transactions live for up to 400 days, so that no version could ever be
taken away if they stayed on theirs: they all move to the promoted one (AUTO_UPGRADE), and workflow
code tells old histories from new ones by `patched()`.
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
CODE = ("activities", "integrator", "workflows", "worker.py")
"""What a worker runs of this product; adapters from other packages have versions of their own."""

_SEPARATOR = " "


@dataclass(frozen=True)
class WorkerIdentity:
    """Who polls: the members of a worker's identity at Temporal."""

    process: str
    version: str
    build_id: str

    def __str__(self) -> str:
        return _SEPARATOR.join((self.process, self.version, self.build_id))


def identity(settings: Settings) -> str:
    """`<pid>@<host> <version> <build id>`, which Temporal shows beside all that a worker does."""
    process = f"{os.getpid()}@{socket.gethostname()}"
    return str(WorkerIdentity(process, version(PRODUCT), build_id(settings)))


def read_identity(text: str) -> WorkerIdentity | None:
    """What `identity` wrote; None for another program's worker, or one from before this."""
    parts = text.split(_SEPARATOR)
    return WorkerIdentity(*parts) if len(parts) == len(WorkerIdentity.__match_args__) else None


def build_id(settings: Settings) -> str:
    """As configured, else `<version>-<fingerprint of the code>`."""
    return settings.worker_build_id or f"{version(PRODUCT)}-{code_fingerprint()}"


@cache
def code_fingerprint() -> str:
    """Twelve hexadecimal digits, the same wherever the same files are installed."""
    root = Path(__file__).parents[2]
    digest = sha256()
    for name in CODE:
        top = root / name
        for file in sorted(top.rglob("*.py")) if top.is_dir() else [top]:
            digest.update(f"{file.relative_to(root).as_posix()}\0".encode())
            digest.update(sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


def deployment_config(settings: Settings) -> WorkerDeploymentConfig | None:
    """How a worker polls: as a version of the configured deployment, or as anybody (None)."""
    if settings.worker_deployment is None:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(settings.worker_deployment, build_id(settings)),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
    )
