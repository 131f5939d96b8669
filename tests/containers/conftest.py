"""The deployment that the tests of this folder share, and the reason to skip them."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.deployment import Deployment
from tests.containers.merchants import Merchant, add_merchant

SECONDS = 600
"""Most tests wait for containers to start or to stop."""


def _engine_problem() -> str | None:
    if shutil.which("docker") is None:
        return "docker is not installed: `make test-containers` provides an engine"
    result = subprocess.run(["docker", "info"], capture_output=True, check=False)
    return None if result.returncode == 0 else "no Docker engine answers: `make test-containers`"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    for item in here:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SECONDS))
    if here and (problem := _engine_problem()) is not None:
        for item in here:
            item.add_marker(pytest.mark.skip(reason=problem))


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment that is not started yet; its containers and data are removed at the end."""
    deployment = Deployment(tmp_path_factory.mktemp("containers") / "integrator", "current")
    yield deployment
    deployment.down(volumes=True)


@pytest.fixture(scope="session")
def merchant(deployment: Deployment) -> Merchant:
    """A merchant of the running deployment, with an account at its sandbox PSP."""
    return add_merchant(deployment, "demo")
