"""What the integrator can do for a merchant."""

from fastapi import APIRouter
from starlette.responses import Response

from api.answers import answer
from api.deps import AdapterDep
from api.openapi import answers
from contract import IntegrationInfoResponse
from psp.description import integration_info

router = APIRouter(tags=["Integration"])


@router.get("/IntegrationInfo", responses=answers(IntegrationInfoResponse, 401, 500, 503))
async def get_integration_info(adapter: AdapterDep) -> Response:
    """Payment methods and features of the merchant's PSP, and the form for its settings.

    Available before any settings are saved.
    """
    return answer(integration_info(adapter))
