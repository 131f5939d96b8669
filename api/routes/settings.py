"""The merchant's settings at its PSP."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import merchant_settings
from api.contract_response import answer
from api.deps import AdapterDep, CallerDep, ContextDep
from api.openapi import answers, body
from api.request_body import read_model
from integrator.contract import IntegrationSettingsResponse, ThirdPartyMerchantPspSettings

router = APIRouter(tags=["Settings"])


@router.get("/Settings", responses=answers(ThirdPartyMerchantPspSettings, 401, 500, 503))
async def get_settings(context: ContextDep, caller: CallerDep, adapter: AdapterDep) -> Response:
    """The saved settings: one entry per declared key, without a value where none is saved.

    Secrets are shown as `********`; sent back like that, they stay as they are.
    """
    return answer(await merchant_settings.shown(context, caller.merchant, adapter))


@router.put(
    "/Settings",
    responses=answers(IntegrationSettingsResponse, 400, 401, 413, 415, 422, 500, 503),
    openapi_extra=body(ThirdPartyMerchantPspSettings),
)
async def put_settings(
    request: Request, context: ContextDep, caller: CallerDep, adapter: AdapterDep
) -> Response:
    """Verify the settings with the PSP and save them if it accepts them.

    The answer says which payment methods may be offered; with none, nothing was saved.
    """
    form = await read_model(request, ThirdPartyMerchantPspSettings)
    return answer(await merchant_settings.verify_and_save(context, caller.merchant, adapter, form))
