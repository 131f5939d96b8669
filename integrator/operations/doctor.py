"""Run all checks of the installation."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from integrator.crypto.keys import DecryptionError
from integrator.operations.checks import codec, configuration, database, psps, temporal
from integrator.operations.checks.result import CheckResult, Level, problem
from integrator.operations.connections import OperatorContext, open_operator_context
from integrator.settings import Settings
from integrator.store.errors import StoreError


async def run_checks() -> AsyncIterator[CheckResult]:
    """Yield the results of all checks, except of those that depend on a missing part."""
    settings, results = configuration.check_settings()
    for result in results:
        yield result
    if settings is None:
        return
    ring, result = configuration.check_keys(settings)
    yield result
    schema = await database.check_schema(settings)
    yield schema
    yield psps.check_adapters()
    codec_server = await codec.check_codec_server(settings)
    if codec_server is not None:
        yield codec_server
    if ring is None:
        return
    async for result in _check_with_keys(settings, schema):
        yield result


async def _check_with_keys(settings: Settings, schema: CheckResult) -> AsyncIterator[CheckResult]:
    async with open_operator_context(settings, require_schema=False) as context:
        if schema.level is not Level.PROBLEM:
            async for result in _check_database(context):
                yield result
        async for result in temporal.check_temporal(context.client, settings):
            yield result


async def _check_database(context: OperatorContext) -> AsyncIterator[CheckResult]:
    try:
        encryption = await database.check_encryption(context.store)
        yield encryption
        if encryption.level is Level.OK:
            async for result in psps.check_merchants(context.store):
                yield result
    except (StoreError, DecryptionError) as error:
        advice = "See above; `integrator keys usage` names the keys in use."
        yield problem("encryption", f"the check failed ({type(error).__name__})", advice)
    for result in await database.check_backlog(context.store):
        yield result


def to_document(results: Sequence[CheckResult]) -> dict[str, Any]:
    """Return the JSON document; `healthy` is false if there is a problem."""
    return {"healthy": is_healthy(results), "findings": results}


def is_healthy(results: Sequence[CheckResult]) -> bool:
    """Check that no result is a problem."""
    return all(result.level is not Level.PROBLEM for result in results)


def render_result(result: CheckResult) -> str:
    """Render a result as text."""
    advice = f"\n{'':<10}{result.advice}" if result.advice else ""
    return f"{result.level.value:<10}{result.check}: {result.text}{advice}"
