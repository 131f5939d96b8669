"""Who is calling, and GoCardless' ways: envelopes, keys that name what they made, cursors."""

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from devtools.sandbox_psp import accounts, request_pipeline
from devtools.sandbox_psp.accounts import Account
from devtools.sandbox_psp.auth import InContext
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.gocardless.errors import Refusal, conflict, missing_version
from devtools.sandbox_psp.errors import PspError
from devtools.sandbox_psp.faults import Operation
from devtools.sandbox_psp.idempotency import Answer, answer
from devtools.sandbox_psp.magic_amounts import Ending

_bearer = HTTPBearer(auto_error=False)
Body = Mapping[str, Any]


class Caller:
    """An authenticated call: its account, its Idempotency-Key and its body."""

    def __init__(self, ctx: Context, account: Account, key: str | None, request: Request) -> None:
        self.ctx = ctx
        self.account = account
        self.key = key
        self.request = request

    async def body(self, envelope: str) -> Body:
        """The content of the request's envelope."""
        try:
            found = json.loads(await self.request.body() or b"null")
        except ValueError:
            found = []
        # `null` is what the official client sends for nothing.
        found = {} if found is None else found
        content = found.get(envelope, {}) if isinstance(found, dict) else None
        if not isinstance(content, dict):
            message = f"The request body must hold {envelope}."
            raise Refusal(400, "invalid_api_usage", message, reason="invalid_document_structure")
        return content

    async def create(
        self,
        operation: Operation,
        envelope: str,
        work: Callable[[], Body],
        steered: Ending | None = None,
    ) -> Response:
        """Make an object, once per key and kind: again, and the answer is a conflict."""
        key = f"{envelope}/{self.key}" if self.key else None
        call = request_pipeline.Call(
            self.account.id,
            operation,
            key,
            # Another body under the same key is the same conflict.
            fingerprint=envelope,
            steered=steered,
            keyless=True,
            forgets_refusals=True,
        )
        given = await request_pipeline.perform(
            self.ctx, call, lambda: answer(201, {envelope: work()})
        )
        if "Idempotent-Replayed" in given.headers:
            raise conflict(json.loads(given.body)[envelope]["id"])
        return _respond(given)

    async def act(
        self, operation: Operation, envelope: str, work: Callable[[], Body], status: int = 200
    ) -> Response:
        """Do something that no key protects."""
        call = request_pipeline.Call(self.account.id, operation, None, "", keyless=True)
        given = await request_pipeline.perform(
            self.ctx, call, lambda: answer(status, {envelope: work()})
        )
        return _respond(given)

    async def read(self, look: Callable[[], dict[str, Any]]) -> Response:
        """Answer a GET."""
        return _respond(await request_pipeline.read(self.ctx, lambda: answer(200, look())))


def _respond(given: Answer) -> Response:
    return Response(given.body, given.status, given.headers, media_type="application/json")


async def _caller(
    request: Request,
    ctx: InContext,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    idempotency_key: Annotated[str | None, Header()] = None,
    gocardless_version: Annotated[str | None, Header()] = None,
) -> Caller:
    account = accounts.by_key(ctx.db, credentials.credentials if credentials else None)
    if account.dialect != "gocardless":
        raise PspError(401, "authentication_error", "wrong_dialect", "Not a token of GoCardless.")
    if gocardless_version is None:
        raise missing_version
    if idempotency_key is not None and len(idempotency_key) > 128:
        message = "The idempotency key is too long."
        raise Refusal(400, "invalid_api_usage", message, reason="idempotency_key_too_long")
    return Caller(ctx, account, idempotency_key, request)


Authenticated = Annotated[Caller, Depends(_caller)]
