"""A stack with metrics, logs and traces, after traffic of all kinds.

Separate from the stack of the end-to-end tests: traces cost memory, which those measure.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from tests.e2e.observability.collector import Collector, run_collector
from tests.e2e.stack.environment import CARD, IBAN, Environment, open_environment, wait_until
from tests.support.billwerk import new_id
from tests.support.stack import Stack

SECRETS = ("4242424242424242", IBAN, "Mia", "Kern", "mia.kern", "Frankfurt", "Basic plan")
QUERY_TOKEN = "token-in-a-query"
SCRAPE_INTERVAL_S = 1
REQUEST_ID = "observed-payment-1"


@dataclass
class ObservedStack:
    """Stack with its collector, and the ids of some transactions of the traffic."""

    world: Environment
    collector: Collector
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def secrets(self) -> list[str]:
        """Return texts that must not occur in metrics, logs and traces."""
        run = self.world.stack.run
        demo = self.world.stack.demo
        return [*SECRETS, *demo.values(), run["merchants"]["demo"]["token"], QUERY_TOKEN]

    def metrics(self, process: str) -> str:
        """Return the current metrics of the `api` or the `worker`."""
        response = httpx.get(self.world.stack.run["metrics"][process])
        response.raise_for_status()
        return response.text

    def generate_traffic(self) -> None:
        """Send requests of every kind."""
        world, billwerk = self.world, self.world.billwerk
        world.sign_up(CARD, IBAN)
        self._pay("paid", "20.00", {"X-Request-Id": REQUEST_ID})
        for name, amount in (("declined", "20.01"), ("failing", "20.03"), ("lost", "20.04")):
            self._pay(name, amount)
        self._pay("throttled", "20.09")
        self._pay("pending", "20.05")
        debit = billwerk.debit(world.agreements[IBAN], "12.00")
        billwerk.post("Payment", debit).raise_for_status()
        billwerk.post("Refund", billwerk.refund(self.ids["paid"], "5.00")).raise_for_status()
        billwerk.get("Payment", self.ids["pending"]).raise_for_status()
        billwerk.client.get(f"/api/Payment/{new_id()}?token={QUERY_TOKEN}")
        billwerk.client.get("/api/Settings", headers={"Authorization": "Bearer wrong"})
        settings_id = world.stack.run["merchants"]["demo"]["psp_settings_id"]
        billwerk.client.post(f"/api/notifications/sandbox/{settings_id}", json={"id": "evt_1"})
        billwerk.wait_for_webhook(self.ids["pending"])
        billwerk.respond = lambda body: 500
        self._pay("undelivered", "20.05")
        wait_until(lambda: any(a.status == 500 for a in billwerk.attempts), "a refused webhook")

    def _pay(self, name: str, amount: str, headers: dict[str, str] | None = None) -> None:
        body = self.world.billwerk.payment(self.world.agreements[CARD], amount)
        self.ids[name] = body["transactionId"]
        self.world.billwerk.client.post("/api/Payment", json=body, headers=headers)


@pytest.fixture(scope="session")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObservedStack]:
    """Return a stack after the traffic; started once, because tracing needs a separate stack."""
    with run_collector() as collector:
        env = {
            "SANDBOX_SETTLE_SECONDS": "1",
            "INTEGRATOR_LOG_FORMAT": "json",
            "INTEGRATOR_OTLP_ENDPOINT": collector.endpoint,
            "INTEGRATOR_RECONCILE_EVERY_SECONDS": "5",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        stack = Stack(tmp_path_factory.mktemp("observed"), env)
        try:
            stack.start()
            with open_environment(stack) as world:
                observed = ObservedStack(world, collector)
                observed.generate_traffic()
                yield observed
        finally:
            stack.stop()
