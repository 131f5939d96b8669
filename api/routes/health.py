"""Health checks of the process."""

import asyncio
import logging

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response
from temporalio.service import RPCError

from api.auth.rate_limits import client_address
from api.context import READINESS_TIMEOUT, Context
from api.deps import ContextDep
from api.openapi import failures
from api.server.https import is_internal
from integrator.store import StoreError

log = logging.getLogger(__name__)

router = APIRouter(tags=["Operations"])


@router.get(
    "/healthz",
    operation_id="getLiveness",
    summary="Check that the process is up",
    response_class=JSONResponse,
)
async def alive() -> Response:
    """The process is up."""
    return JSONResponse({"status": "ok"})


@router.get(
    "/readyz",
    operation_id="getReadiness",
    summary="Check that store and Temporal answer",
    response_class=JSONResponse,
    responses={
        503: {
            "description": "The store or Temporal cannot be reached, the schema is missing or old, "
            "or the process is ending"
        },
        **failures(429),
    },
)
async def ready(request: Request, context: ContextDep) -> Response:
    """Whether the store has its schema, and store and Temporal answer within a second, by name."""
    if not is_internal(request.scope):
        await context.failed_auth_limit.record_failure(client_address(request))
    if request.scope.get("draining"):
        return JSONResponse({"process": "ending"}, 503)
    reason = context.schema_gate.reason
    if reason is not None:
        return JSONResponse({"store": reason}, 503)
    store, temporal = await asyncio.gather(_is_store_ready(context), _is_temporal_ready(context))
    result = {"store": _status_text(store), "temporal": _status_text(temporal)}
    return JSONResponse(result, 200 if store and temporal else 503)


async def _is_store_ready(context: Context) -> bool:
    try:
        async with asyncio.timeout(READINESS_TIMEOUT.total_seconds()):
            await context.store.ping()
    except (StoreError, TimeoutError) as error:
        log.warning("Not ready: the store does not answer (%s).", type(error).__name__)
        return False
    return True


async def _is_temporal_ready(context: Context) -> bool:
    try:
        async with asyncio.timeout(READINESS_TIMEOUT.total_seconds()):
            return await context.temporal_ready()
    except (RPCError, RuntimeError, TimeoutError) as error:
        log.warning("Not ready: Temporal does not answer (%s).", type(error).__name__)
        return False


def _status_text(ok: bool) -> str:
    return "ok" if ok else "unreachable"
