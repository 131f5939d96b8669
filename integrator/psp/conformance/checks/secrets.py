"""Secrets and personal data must not leave the adapter where they would be logged or stored."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from integrator.psp.conformance import call_factory, fault_transport, operations
from integrator.psp.conformance.assertions import require
from integrator.psp.conformance.checked_connection import exception_texts
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.fault_transport import Fault
from integrator.psp.conformance.harness import ErrorCase, StubResponse
from integrator.psp.conformance.operations import OperationKind, PreparedCall
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable
from integrator.psp.errors import PspError
from integrator.psp.types import Declined

_CARD, _IBAN = "4242 4242 4242 4242", "DE89370400440532013000"
_MAIL = "mia.kern@example.org"
_PRIVATE_MESSAGE = f"Card {_CARD} of {_MAIL}, account {_IBAN}, was refused"
# Not the adapter's lines: these libraries log addresses and, at debug level, headers. The worker
# silences them.
_LIBRARIES = ("httpx", "httpcore", "asyncio")


class _LineHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(_LIBRARIES):
            self.lines.append(self.format(record))


@contextmanager
def _captured_log() -> Iterator[list[str]]:
    root, handler = logging.getLogger(), _LineHandler()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield handler.lines
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


@check(operations.kinds)
async def logs_hold_no_private_data(context: CheckContext, kind: OperationKind) -> None:
    """No log line holds a secret, a token or payment data, even when calls fail."""
    prepared = await operations.prepare(context, kind)
    private = _private_values(context, prepared)
    with _captured_log() as lines:
        for effect in (
            fault_transport.connection_reset(after_booking=False),
            fault_transport.timeout(after_booking=True),
            fault_transport.respond_with(fault_transport.html_page(500)),
            fault_transport.respond_with(fault_transport.html_page(401)),
        ):
            with context.transport.inject(Fault(effect)):
                await _execute_and_describe(prepared, context)
        await _execute_and_describe(prepared, context)
    exposed = [name for name in private if any(name in line for line in lines)]
    require(not exposed, f"{len(exposed)} private values are in the log.")


@check(operations.kinds)
async def errors_hold_no_private_data(context: CheckContext, kind: OperationKind) -> None:
    """No error holds a secret, a token, payment data or a proxy's text."""
    prepared = await operations.prepare(context, kind)
    private = (*_private_values(context, prepared), "Please try again later")
    for effect in (
        fault_transport.connection_refused(),
        fault_transport.connection_reset(after_booking=False),
        fault_transport.respond_with(fault_transport.html_page(403)),
        fault_transport.alter_response(lambda body: body + b"}"),
    ):
        with context.transport.inject(Fault(effect)):
            texts = await _execute_and_describe(prepared, context)
        exposed = [name for name in private if any(name in text for text in texts)]
        require(not exposed, f"{len(exposed)} private values are in the error.")


@check(operations.kinds)
async def psp_messages_are_redacted(context: CheckContext, kind: OperationKind) -> None:
    """A PSP's message that repeats payment data is passed on without it."""
    response = context.harness.error_response(ErrorCase.UNDOCUMENTED)
    if response is None:
        raise NotApplicable("the harness has no error response for a refusal")
    prepared = await operations.prepare(context, kind)
    body = json.dumps(_with_private_message(json.loads(response.body))).encode()
    response_with_private_data = StubResponse(response.status, body, response.headers)
    with context.transport.inject(Fault(fault_transport.respond_with(response_with_private_data))):
        texts = await _execute_and_describe(prepared, context)
    exposed = [name for name in (_CARD, _IBAN, _MAIL) if any(name in text for text in texts)]
    require(not exposed, f"{len(exposed)} values of payment data came through.")


@check(operations.kinds)
async def addresses_hold_no_private_data(context: CheckContext, kind: OperationKind) -> None:
    """Addresses are logged by proxies: they hold no secret and no payment data."""
    prepared = await operations.prepare(context, kind)
    await prepared.execute(context)
    addresses = [str(request.url) for request in context.transport.requests]
    private = _private_values(context, prepared) - {_parent_psp_id(prepared)}
    exposed = [name for name in private if any(name in address for address in addresses)]
    require(not exposed, "An address holds a secret or payment data.")


@check(operations.kinds)
async def the_webhook_secret_is_not_sent(context: CheckContext, kind: OperationKind) -> None:
    """No request carries the webhook secret: it only verifies notifications."""
    if context.harness.signature is None:
        raise NotApplicable("the harness does not describe how notifications are signed")
    secret = context.harness.form[context.harness.signature.setting]
    prepared = await operations.prepare(context, kind)
    await prepared.execute(context)
    for request in context.transport.requests:
        require(secret not in repr(request.headers.raw), "A header carries the webhook secret.")
        require(secret.encode() not in request.content, "A body carries the webhook secret.")


def _private_values(context: CheckContext, prepared: PreparedCall) -> set[str]:
    """Return every private value of the account and the customer."""
    private = {call_factory.PAYER.email, _IBAN}
    stored = getattr(prepared.call, "instrument", None)
    if stored is not None:
        private |= {*stored.bearer.values(), *stored.token.values()}
    private |= set((getattr(prepared.call, "initial_bearer", None) or {}).values())
    known = {value for value in private if value is not None and len(value) > 4}
    return known | context.secrets


def _parent_psp_id(prepared: PreparedCall) -> str:
    return getattr(prepared.call, "authorization_id", getattr(prepared.call, "payment_psp_id", ""))


async def _execute_and_describe(prepared: PreparedCall, context: CheckContext) -> list[str]:
    """Return what a log or the workflow history would hold of the call."""
    try:
        outcome = await prepared.execute(context)
    except PspError as error:
        return [*exception_texts(error)]
    message = outcome.message if isinstance(outcome, Declined) else None
    return [repr(outcome), message or ""]


def _with_private_message(body: Any) -> Any:
    """Replace every sentence in the PSP's error; texts without blanks are codes."""
    if isinstance(body, dict):
        return {name: _with_private_message(value) for name, value in body.items()}
    if isinstance(body, list):
        return [_with_private_message(value) for value in body]
    return _PRIVATE_MESSAGE if isinstance(body, str) and " " in body else body
