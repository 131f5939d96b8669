"""Token endpoint for OAuth clients."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from api.auth import oauth
from api.auth.access_tokens import TOKEN_LIFETIME
from api.deps import ContextDep
from api.openapi import token_errors

router = APIRouter(tags=["OAuth 2.0"])

_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["grant_type"],
    "properties": {
        "grant_type": {"type": "string", "enum": ["client_credentials"]},
        "client_id": {"type": "string", "description": "Unless it is in the header"},
        "client_secret": {"type": "string", "format": "password"},
    },
}
_TOKEN: dict[str, Any] = {
    "type": "object",
    "required": ["access_token", "token_type", "expires_in"],
    "properties": {
        "access_token": {"type": "string"},
        "token_type": {"type": "string", "enum": ["Bearer"]},
        "expires_in": {"type": "integer", "description": "Seconds"},
    },
}


@router.post(
    "/oauth/token",
    operation_id="issueAccessToken",
    summary="Issue an access token to an OAuth client",
    response_class=JSONResponse,
    responses={
        200: {"description": "Success", "content": {"application/json": {"schema": _TOKEN}}},
        **token_errors(),
    },
    openapi_extra={
        "requestBody": {"required": True, "content": {oauth.FORM_CONTENT_TYPE: {"schema": _FORM}}}
    },
)
async def issue_access_token(request: Request, context: ContextDep) -> Response:
    """An access token by the client credentials grant (RFC 6749, section 4.4).

    The client authenticates with HTTP Basic or with `client_id` and `client_secret` in the form.
    """
    try:
        token = await oauth.grant_token(context, request)
    except oauth.OAuthError as error:
        body = {"error": error.error, "error_description": error.description}
        return JSONResponse(body, error.status, error.headers)
    seconds = int(TOKEN_LIFETIME.total_seconds())
    content = {"access_token": token, "token_type": "Bearer", "expires_in": seconds}
    return JSONResponse(content, headers={"Pragma": "no-cache"})
