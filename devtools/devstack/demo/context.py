"""What every scene of the story works with."""

from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from devtools.devstack.demo.billing_client import Platform, Reply
from devtools.devstack.demo.ids import workflow_url
from devtools.devstack.demo.timeline import Timeline
from devtools.devstack.demo.webhooks import Webhooks


@dataclass(frozen=True)
class Outcome:
    """What a step should have come to, and what it came to."""

    step: str
    expected: str
    actual: str

    @property
    def good(self) -> bool:
        return self.expected == self.actual


@dataclass
class Stage:
    """The platform, its webhooks, the customer's browser, and the outcomes so far."""

    platform: Platform
    webhooks: Webhooks
    browser: httpx.AsyncClient
    timeline: Timeline
    merchant: str
    namespace: str
    temporal_ui: str | None
    outcomes: list[Outcome] = field(default_factory=list)

    def expect(self, step: str, expected: str, actual: str) -> None:
        """Note an outcome for the table at the end."""
        self.outcomes.append(Outcome(step, expected, actual))

    def link(self, kind: str, id: str) -> None:
        """Show where the transaction's workflow can be looked at."""
        if self.temporal_ui is not None:
            url = workflow_url(self.temporal_ui, self.namespace, self.merchant, kind, id)
            self.timeline.note(url)

    async def read_until(self, path: str, id: str, wanted: Callable[[Reply], bool]) -> Reply:
        """Read a transaction after every webhook about it, until it is as wanted."""
        while True:
            seen = self.webhooks.count(id)
            reply = await self.platform.get(f"{path}/{id}")
            if wanted(reply):
                return reply
            await self.webhooks.wait_for_more(id, seen)
