"""Notifications of PSPs, authenticated by the PSP's own signature."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from api.auth.rate_limits import client_address
from api.deps import ContextDep
from api.errors import InvalidSignature, NotFound
from api.openapi import failures
from api.request_body import read_raw
from api.transactions import notifications

router = APIRouter(tags=["Notifications"])


@router.post(
    "/notifications/{psp}/{pspSettingsId}",
    operation_id="receiveNotification",
    summary="Receive a notification of a PSP",
    response_class=Response,
    responses={
        200: {"description": "Stored; nothing is lost from here on"},
        **failures(401, 404, 413, 422, 500, 503),
    },
    openapi_extra={"requestBody": {"required": True, "content": {"*/*": {"schema": {}}}}},
)
async def receive_notification(
    psp: Annotated[str, Path(description="Name of the PSP adapter")],
    psp_settings_id: Annotated[str, Path(alias="pspSettingsId", description="Whose secret signs")],
    request: Request,
    context: ContextDep,
) -> Response:
    """A PSP's notification, in its own format and with its own signature."""
    address, route = client_address(request), f"{psp}/{psp_settings_id}"
    await context.failed_auth_limit.check(address, route)
    raw = await read_raw(request, notifications.max_body_bytes(psp))
    headers = dict(request.headers)
    try:
        await context.background_tasks.run_shielded(
            notifications.receive(context, psp, psp_settings_id, headers, raw)
        )
    except (NotFound, InvalidSignature):
        await context.failed_auth_limit.record_failure(address)
        raise
    context.failed_auth_limit.trust(route)
    return Response()
