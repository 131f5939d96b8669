"""Promotion of a deployment's first version by a starting worker.

Without it no task would run before an operator promotes a version. Every later version is promoted
by an operator or by `deploy/upgrade.sh`.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from integrator.settings import Settings
from integrator.temporal import worker_deployment
from integrator.temporal.worker_deployment import Poll
from integrator.temporal.worker_versioning import build_id

log = logging.getLogger(__name__)

CHECK_INTERVAL = timedelta(seconds=1)
"""The first payment of a new installation waits for the promotion."""

REMINDER_INTERVAL = timedelta(minutes=1)

_CHANGED_MEANWHILE = RPCStatusCode.FAILED_PRECONDITION


class FirstVersion:
    """Promotes this worker's version if the deployment has none yet; ends when one is current.

    While unversioned workers or those of another deployment are polling, versions are being
    switched on, or the deployment's name changed, in a running system: the operator decides when.
    A stopped worker counts as polling for 90 seconds. A ramp is an operator's decision as well. Of
    several replicas one promotes; the server refuses the others, whose token is outdated.
    """

    def __init__(
        self,
        client: Client,
        settings: Settings,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._deployment = settings.worker_deployment
        self._queues = (settings.task_queue, settings.reconcile_queue)
        self._build_id = build_id(settings)
        self._now = now
        self._reminded_at: datetime | None = None

    async def run(self) -> None:
        """Check until the deployment has a current version; failures are logged and repeated."""
        while self._deployment is not None:
            try:
                if await self.check(self._deployment):
                    return
            except RPCError as error:
                self._remind(f"Temporal rejected the request: {error.message}")
            except Exception as error:  # noqa: BLE001 - the worker would never get a task
                self._remind(f"the check failed: {type(error).__name__}")
            await asyncio.sleep(CHECK_INTERVAL.total_seconds())

    async def check(self, name: str) -> bool:
        """Promote if it is time to; return whether the deployment has a current version."""
        deployment = await worker_deployment.describe(self._client, name)
        if deployment is None:
            return False
        if deployment.current is not None:
            return True
        if deployment.ramping is not None:
            self._remind(f"version {deployment.ramping} is ramping, none is current")
            return False
        polls = await worker_deployment.read_polls(self._client, self._queues)
        recent = [poll for poll in polls if poll.is_recent(self._now())]
        others = sorted({poll.identity for poll in recent if poll.deployment != name})
        if others:
            self._remind(f"workers outside this deployment were at work: {', '.join(others)}")
            return False
        if not self._polls_everything(recent, name):
            return False
        return await self._promote(name, deployment.conflict_token)

    def _polls_everything(self, polls: list[Poll], name: str) -> bool:
        own = {
            (poll.queue, poll.kind)
            for poll in polls
            if (poll.deployment, poll.build_id) == (name, self._build_id)
        }
        return len(own) == len(self._queues) * len(worker_deployment.TaskKind)

    async def _promote(self, name: str, conflict_token: bytes) -> bool:
        try:
            await worker_deployment.set_current(
                self._client, name, self._build_id, conflict_token=conflict_token
            )
        except RPCError as error:
            if error.status is _CHANGED_MEANWHILE:
                return False  # by another replica or an operator: the next check shows
            raise
        log.info("worker version %s is the first of deployment %s: promoted", self._build_id, name)
        return True

    def _remind(self, reason: str) -> None:
        now = self._now()
        if self._reminded_at is not None and now - self._reminded_at < REMINDER_INTERVAL:
            return
        self._reminded_at = now
        log.warning(
            "worker version %s gets no tasks yet (%s); to give it all tasks run "
            "`integrator worker promote %s`",
            self._build_id,
            reason,
            self._build_id,
        )
