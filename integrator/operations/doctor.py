"""A look at everything that has to be right, one line each."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from integrator.crypto.keys import DecryptionError
from integrator.operations.checks import codec, configuration, database, psps, temporal
from integrator.operations.checks.result import CheckResult, Level, problem
from integrator.operations.connections import OperatorContext, open_operator_context
from integrator.settings import Settings
from integrator.store.errors import StoreError


async def examine() -> AsyncIterator[CheckResult]:
    """Looks on as far as it can: what needs a part that is missing is left out."""
    settings, found = configuration.read()
    for finding in found:
        yield finding
    if settings is None:
        return
    ring, finding = configuration.keys(settings)
    yield finding
    schema = await database.schema(settings)
    yield schema
    yield psps.adapters()
    codec_server = await codec.answering(settings)
    if codec_server is not None:
        yield codec_server
    if ring is None:
        return
    async for finding in _with_keys(settings, schema):
        yield finding


async def _with_keys(settings: Settings, schema: CheckResult) -> AsyncIterator[CheckResult]:
    async with open_operator_context(settings) as desk:
        if schema.level is Level.OK:
            async for finding in _books(desk):
                yield finding
        async for finding in temporal.findings(desk.client, settings):
            yield finding


async def _books(desk: OperatorContext) -> AsyncIterator[CheckResult]:
    try:
        sealed = await database.sealed(desk.store)
        yield sealed
        if sealed.level is Level.OK:
            async for finding in psps.merchants(desk.store):
                yield finding
    except (StoreError, DecryptionError) as error:
        advice = "See above; `integrator keys usage` names the keys in use."
        yield problem("encryption", f"cannot be looked at ({type(error).__name__})", advice)
    for finding in await database.waiting(desk.store):
        yield finding


def document(findings: Sequence[CheckResult]) -> dict[str, Any]:
    """For programs; `healthy` is false when there is a problem."""
    return {"healthy": healthy(findings), "findings": findings}


def healthy(findings: Sequence[CheckResult]) -> bool:
    """Whether there is no problem among them."""
    return all(finding.level is not Level.PROBLEM for finding in findings)


def line(finding: CheckResult) -> str:
    """For people."""
    advice = f"\n{'':<10}{finding.advice}" if finding.advice else ""
    return f"{finding.level.value:<10}{finding.check}: {finding.text}{advice}"
