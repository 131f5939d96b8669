"""Runs checks against a bench, without any test framework."""

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

LONGEST_CHECK_SECONDS = 60


@dataclass(frozen=True)
class Case:
    """One check with one of its values; a check that has none for the adapter has an empty case."""

    check: Check
    label: str | None
    value: Any
    applies: bool = True

    @property
    def name(self) -> str:
        """`check[label]`."""
        return self.check.name if self.label is None else f"{self.check.name}[{self.label}]"


def transport() -> httpx.AsyncHTTPTransport:
    """The way to the PSP, shared by all checks of a run; to be closed."""
    return httpx.AsyncHTTPTransport()


@asynccontextmanager
async def rig(
    bench: HarnessFactory,
    live: Mapping[str, str] | None = None,
    instruments: Mapping[Role, Instrument] | None = None,
) -> AsyncIterator[KitRun]:
    """An open bench."""
    async with transport() as way, bench(live) as opened:
        yield KitRun(opened, opened.adapter, opened.transport or way, instruments or {})


async def cases(opened: KitRun) -> list[Case]:
    """Every check with every value it has for this adapter."""
    async with opened.world() as world:
        found: list[Case] = []
        for check in all_checks():
            if check.cases is None:
                found.append(Case(check, None, None))
                continue
            values = list(check.cases(world))
            found += [Case(check, label, value) for label, value in values]
            if not values:
                found.append(Case(check, None, None, applies=False))
        return found


async def run(opened: KitRun, case: Case) -> None:
    """Run one case. Raises `CannotBeProvoked`, `Violation`, or what is wrong with kit or bench."""
    if not case.applies:
        raise NotApplicable("does not apply to what the adapter declares")
    arguments = () if case.check.cases is None else (case.value,)
    async with opened.world() as world, asyncio.timeout(LONGEST_CHECK_SECONDS):
        try:
            await case.check.run(world, *arguments)
        except PspError as error:
            text = f"The adapter raised {type(error).__name__} out of place: {error}"
            raise Violation(text) from error
