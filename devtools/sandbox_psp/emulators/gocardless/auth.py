"""Authenticate GoCardless calls and run them through the request pipeline."""

import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from devtools.sandbox_psp import accounts, request_pipeline
from devtools.sandbox_psp.accounts import Account
from devtools.sandbox_psp.auth import ContextDependency
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.gocardless.errors import (
    GoCardlessError,
    idempotency_conflict,
    missing_version,
)
from devtools.sandbox_psp.emulators.gocardless.requests import Body
from devtools.sandbox_psp.errors import PspError
from devtools.sandbox_psp.faults import Operation
from devtools.sandbox_psp.idempotency import ApiResponse, json_response
from devtools.sandbox_psp.magic_amounts import MagicEnding

_bearer = HTTPBearer(auto_error=False)


class Caller:
    """An authenticated call: its account, its Idempotency-Key and its body."""

    def __init__(self, ctx: Context, account: Account, key: str | None, request: Request) -> None:
        self.ctx = ctx
        self.account = account
        self.key = key
        self.request = request

    async def body(self, envelope: str) -> Body:
        """Return the content of the request's envelope."""
        try:
            document = json.loads(await self.request.body() or b"null")
        except ValueError:
            document = []
        # The official client sends `null` for an empty body.
        document = {} if document is None else document
        content = document.get(envelope, {}) if isinstance(document, dict) else None
        if not isinstance(content, dict):
            message = f"The request body must hold {envelope}."
            raise GoCardlessError(
                400, "invalid_api_usage", message, reason="invalid_document_structure"
            )
        return content

    async def create(
        self,
        operation: Operation,
        envelope: str,
        action: Callable[[], Body],
        ending: MagicEnding | None = None,
    ) -> Response:
        """Create an object, once per key and kind: repeating the key is a conflict."""
        key = f"{envelope}/{self.key}" if self.key else None
        call = request_pipeline.Call(
            self.account.id,
            operation,
            key,
            # The key alone counts: another body under it is the same conflict.
            fingerprint=envelope,
            ending=ending,
            keyless=True,
            forget_errors=True,
        )
        response = await request_pipeline.handle_write(
            self.ctx, call, lambda: json_response(201, {envelope: action()})
        )
        if "Idempotent-Replayed" in response.headers:
            raise idempotency_conflict(json.loads(response.body)[envelope]["id"])
        return _respond(response)

    async def run_action(
        self, operation: Operation, envelope: str, action: Callable[[], Body], status: int = 200
    ) -> Response:
        """Run an action without idempotency key."""
        call = request_pipeline.Call(self.account.id, operation, None, "", keyless=True)
        response = await request_pipeline.handle_write(
            self.ctx, call, lambda: json_response(status, {envelope: action()})
        )
        return _respond(response)

    async def get(self, load: Callable[[], dict[str, Any]]) -> Response:
        """Run a GET through the request pipeline."""
        return _respond(
            await request_pipeline.handle_read(self.ctx, lambda: json_response(200, load()))
        )


def _respond(response: ApiResponse) -> Response:
    return Response(response.body, response.status, response.headers, media_type="application/json")


async def _authenticate(
    request: Request,
    ctx: ContextDependency,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    idempotency_key: Annotated[str | None, Header()] = None,
    gocardless_version: Annotated[str | None, Header()] = None,
) -> Caller:
    account = accounts.get_by_key(ctx.db, credentials.credentials if credentials else None)
    if account.emulator != "gocardless":
        raise PspError(
            401, "authentication_error", "wrong_dialect", "This is not a GoCardless token."
        )
    if gocardless_version is None:
        raise missing_version
    if idempotency_key is not None and len(idempotency_key) > 128:
        message = "The idempotency key is too long."
        raise GoCardlessError(400, "invalid_api_usage", message, reason="idempotency_key_too_long")
    return Caller(ctx, account, idempotency_key, request)


Authenticated = Annotated[Caller, Depends(_authenticate)]
