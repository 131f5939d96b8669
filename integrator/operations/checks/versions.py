"""Checks of the worker's versions: one gets the tasks, and there is room for the next."""

from collections.abc import Iterator

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from integrator.operations.checks.result import CheckResult, ok, problem, warning
from integrator.operations.worker_versions import VersionRouter, WorkersMissing
from integrator.settings import PREFIX, Settings
from integrator.temporal.worker_deployment import Deployment

NAME = "worker versions"
WARNING_SHARE = 0.8
"""Of the server's limit. At the limit it deletes a drained version itself, but not always."""


async def check_versions(client: Client, settings: Settings) -> list[CheckResult]:
    """Check routing and number of the versions; nothing if workers are not versioned."""
    if settings.worker_deployment is None:
        return []
    router = VersionRouter(client, settings, settings.worker_deployment)
    try:
        deployment, _ = await router.read()
        if deployment is None:
            return []  # no worker has polled, which the check of the workers reports
        return [await _check_routing(router, deployment), *_check_number(deployment, settings)]
    except RPCError as error:
        status = RPCStatusCode(error.status).name
        advice = "Check this client's permissions on the server."
        return [problem(NAME, f"they cannot be read ({status})", advice)]


async def _check_routing(router: VersionRouter, deployment: Deployment) -> CheckResult:
    if deployment.current is None:
        text = "no version is current, workers with a version get no tasks"
        return problem(NAME, text, "Run `integrator worker promote BUILD_ID`.")
    for build_id in filter(None, (deployment.current, deployment.ramping)):
        try:
            await router.require_workers(build_id)
        except WorkersMissing as error:
            advice = "Start workers of this version, or promote another one whose workers poll."
            return problem(NAME, f"a version gets tasks, but has too few workers: {error}", advice)
    if deployment.ramping is not None:
        share = f"{deployment.ramp_percentage:g} %"
        text = f"{deployment.ramping} gets {share}, {deployment.current} the rest"
        return warning(NAME, text, "Promote one of them when the upgrade is decided.")
    return ok(NAME, f"{deployment.current} gets all tasks")


def _check_number(deployment: Deployment, settings: Settings) -> Iterator[CheckResult]:
    number, limit = len(deployment.versions), settings.worker_deployment_max_versions
    if number >= WARNING_SHARE * limit:
        text = f"Temporal holds {number} of at most {limit}; at the limit no new version starts"
        advice = (
            "Run `integrator worker prune`; if that does not help, raise "
            f"matching.maxVersionsInDeployment and {PREFIX}WORKER_DEPLOYMENT_MAX_VERSIONS."
        )
        yield warning("number of worker versions", text, advice)
