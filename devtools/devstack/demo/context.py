"""Objects shared by all steps of the demo."""

from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from devtools.devstack.demo.billing_client import ApiResponse, BillingClient
from devtools.devstack.demo.ids import workflow_url
from devtools.devstack.demo.timeline import Timeline
from devtools.devstack.demo.webhooks import WebhookReceiver


@dataclass(frozen=True)
class StepResult:
    """Expected and actual result of one step."""

    step: str
    expected: str
    actual: str

    @property
    def passed(self) -> bool:
        return self.expected == self.actual


@dataclass
class DemoContext:
    """Billing client, webhook receiver, the customer's browser, and the results so far."""

    billing: BillingClient
    webhooks: WebhookReceiver
    browser: httpx.AsyncClient
    timeline: Timeline
    merchant: str
    namespace: str
    temporal_ui: str | None
    results: list[StepResult] = field(default_factory=list)

    def record_result(self, step: str, expected: str, actual: str) -> None:
        """Record a step's result for the table at the end."""
        self.results.append(StepResult(step, expected, actual))

    def print_workflow_link(self, kind: str, id: str) -> None:
        """Print the URL of the transaction's workflow in the Temporal UI."""
        if self.temporal_ui is not None:
            url = workflow_url(self.temporal_ui, self.namespace, self.merchant, kind, id)
            self.timeline.add_note(url)

    async def read_until(
        self, path: str, id: str, condition: Callable[[ApiResponse], bool]
    ) -> ApiResponse:
        """Read a transaction after every webhook about it, until `condition` holds."""
        while True:
            count = self.webhooks.count(id)
            response = await self.billing.get(f"{path}/{id}")
            if condition(response):
                return response
            await self.webhooks.wait_for_more(id, count)
