"""Run checks against a harness, without any test framework."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.conformance.checks import all_checks
from integrator.psp.conformance.context import KitRun
from integrator.psp.conformance.harness import HarnessFactory
from integrator.psp.conformance.registry import Check
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.errors import PspError
from integrator.psp.types import Instrument

CHECK_TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Case:
    """One check with one of its values; without any values the check does not apply."""

    check: Check
    label: str | None
    value: Any
    applies: bool = True

    @property
    def name(self) -> str:
        """Return `check[label]`."""
        return self.check.name if self.label is None else f"{self.check.name}[{self.label}]"


def open_transport() -> httpx.AsyncHTTPTransport:
    """Return the transport to the PSP, shared by all checks of a run; the caller closes it."""
    return httpx.AsyncHTTPTransport()


@asynccontextmanager
async def open_run(
    harness_factory: HarnessFactory,
    live: Mapping[str, str] | None = None,
    instruments: Mapping[Role, Instrument] | None = None,
) -> AsyncIterator[KitRun]:
    """Open a harness for a run."""
    async with open_transport() as default_transport, harness_factory(live) as harness:
        transport = harness.transport or default_transport
        yield KitRun(harness, harness.adapter, transport, instruments or {})


async def collect_cases(kit_run: KitRun) -> list[Case]:
    """Return every check with every value it has for this adapter."""
    async with kit_run.context() as context:
        collected: list[Case] = []
        for check in all_checks():
            if check.cases is None:
                collected.append(Case(check, None, None))
                continue
            values = list(check.cases(context))
            collected += [Case(check, label, value) for label, value in values]
            if not values:
                collected.append(Case(check, None, None, applies=False))
        return collected


async def run_case(kit_run: KitRun, case: Case) -> None:
    """Run one case.

    Raises `NotApplicable`, `Violation`, or any error of the kit or the harness.
    """
    if not case.applies:
        raise NotApplicable("does not apply to what the adapter declares")
    arguments = () if case.check.cases is None else (case.value,)
    async with kit_run.context() as context, asyncio.timeout(CHECK_TIMEOUT_SECONDS):
        try:
            await case.check.run(context, *arguments)
        except PspError as error:
            text = f"The adapter raised an unexpected {type(error).__name__}: {error}"
            raise Violation(text) from error
