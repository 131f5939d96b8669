"""The merchant's settings at its PSP."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import merchant_settings
from api.contract_response import contract_response
from api.deps import AdapterDep, CallerDep, ContextDep
from api.openapi import answers, body
from api.request_body import read_model
from integrator.contract import IntegrationSettingsResponse, ThirdPartyMerchantPspSettings

router = APIRouter(tags=["Settings"])


@router.get(
    "/Settings",
    operation_id="getSettings",
    summary="Return the merchant's PSP settings",
    responses=answers(ThirdPartyMerchantPspSettings, 401, 500, 503),
)
async def get_settings(context: ContextDep, caller: CallerDep, adapter: AdapterDep) -> Response:
    """The saved settings: one entry per declared key, without a value where none is saved.

    Secrets are shown as `********`; sent back like that, they stay as they are.
    """
    return contract_response(
        await merchant_settings.get_masked_settings(context, caller.merchant, adapter)
    )


@router.put(
    "/Settings",
    operation_id="updateSettings",
    summary="Verify and save the merchant's PSP settings",
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
    return contract_response(
        await merchant_settings.verify_and_save(context, caller.merchant, adapter, form)
    )
