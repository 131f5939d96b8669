"""The documented step after a secret file was replaced is enough: recreate what uses it."""

import secrets

import pytest

from tests.containers.demo import play_demo
from tests.containers.deployment import Deployment
from tests.containers.merchants import Merchant

pytestmark = pytest.mark.full


def test_a_new_database_password_is_used_after_recreation(
    deployment: Deployment, merchant: Merchant
) -> None:
    password = secrets.token_hex(24)
    folder = deployment.folder / "deploy/secrets"
    url = f"postgresql://integrator:{password}@postgres:5432/integrator\n"
    for name, content in (("integrator_db_password", password), ("integrator_database_url", url)):
        new = folder / f".{name}"
        new.write_text(content)
        new.replace(folder / name)
    statement = f"ALTER ROLE integrator PASSWORD '{password}'\n"
    psql = ("docker", "compose", "exec", "-T", "postgres", "psql", "-U", "postgres", "-q")
    deployment.run(*psql, stdin=statement)
    for service in ("worker", "api"):
        deployment.compose("up", "--detach", "--no-deps", "--force-recreate", "--wait", service)
    results = play_demo(deployment, merchant)
    assert [result for result in results if not result.passed] == []
