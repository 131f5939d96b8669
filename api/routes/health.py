"""For whoever supervises this process."""

import asyncio
import logging

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response
from temporalio.service import RPCError

from api.auth.rate_limits import client_address
from api.context import READY_WITHIN, Context
from api.deps import ContextDep
from api.openapi import failures
from api.server.https import is_internal
from integrator.store import StoreError

log = logging.getLogger(__name__)

router = APIRouter(tags=["Operations"])


@router.get("/healthz", response_class=JSONResponse)
async def alive() -> Response:
    """The process is up."""
    return JSONResponse({"status": "ok"})


@router.get(
    "/readyz",
    response_class=JSONResponse,
    responses={
        503: {"description": "The store or Temporal cannot be reached, or the process is ending"},
        **failures(429),
    },
)
async def ready(request: Request, context: ContextDep) -> Response:
    """Whether the store and Temporal answer within a second, each by name."""
    if not is_internal(request.scope):
        await context.guests.record_failure(client_address(request))
    if request.scope.get("draining"):
        return JSONResponse({"process": "ending"}, 503)
    store, temporal = await asyncio.gather(_store(context), _temporal(context))
    found = {"store": _word(store), "temporal": _word(temporal)}
    return JSONResponse(found, 200 if store and temporal else 503)


async def _store(context: Context) -> bool:
    try:
        async with asyncio.timeout(READY_WITHIN.total_seconds()):
            await context.store.ping()
    except (StoreError, TimeoutError) as error:
        log.warning("Not ready: the store does not answer (%s).", type(error).__name__)
        return False
    return True


async def _temporal(context: Context) -> bool:
    try:
        async with asyncio.timeout(READY_WITHIN.total_seconds()):
            return await context.temporal_ready()
    except (RPCError, RuntimeError, TimeoutError) as error:
        log.warning("Not ready: Temporal does not answer (%s).", type(error).__name__)
        return False


def _word(ok: bool) -> str:
    return "ok" if ok else "unreachable"
