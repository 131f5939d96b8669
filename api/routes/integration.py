"""Integration info: features of the merchant's PSP."""

from fastapi import APIRouter
from starlette.responses import Response

from api.contract_response import contract_response
from api.deps import AdapterDep
from api.openapi import answers
from integrator.contract import IntegrationInfoResponse
from integrator.psp.integration_info import build_integration_info

router = APIRouter(tags=["Integration"])


@router.get(
    "/IntegrationInfo",
    operation_id="getIntegrationInfo",
    summary="Return payment methods, features and the settings form",
    responses=answers(IntegrationInfoResponse, 401, 500, 503),
)
async def get_integration_info(adapter: AdapterDep) -> Response:
    """Payment methods and features of the merchant's PSP, and the form for its settings.

    Available before any settings are saved.
    """
    return contract_response(build_integration_info(adapter))
