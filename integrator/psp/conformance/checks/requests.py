"""Requests: what is sent of a caller's data, and what a PSP refuses of it."""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.conformance import call_factory, fault_transport, operations, setup
from integrator.psp.conformance.assertions import (
    describe,
    require,
    require_approved,
    require_declined,
)
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.fault_transport import Fault
from integrator.psp.conformance.harness import TextRefusal
from integrator.psp.conformance.operations import OperationKind, OperationVariant, PreparedCall
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.conformance.sent_texts import sent_texts
from integrator.psp.conformance.setup import MethodCurrency
from integrator.psp.errors import BearerRefused, OutcomeUnknown, PspUnavailable
from integrator.psp.types import (
    Address,
    Approved,
    Authorize,
    DateWindow,
    Declined,
    Outcome,
    Payer,
    Pending,
)

_NAME = re.compile(r"\w+")
_BLANK_PAYERS = [
    Payer(
        name=blank,
        email=blank,
        language=blank,
        country=blank,
        company_name=blank,
        address=Address(line1=blank, line2=blank, postal_code=blank, city=blank, state=blank),
    )
    for blank in ("", " ")
]
_COMPANY = Payer(
    name="Müller & Söhne GmbH & Co. KG",
    company_name="Müller & Söhne GmbH & Co. KG",
    email="rechnung@mueller.example",
    language="de",
    country="CH",
    address=Address(
        line1="Alte Landstrasse 12a",
        line2="Hinterhaus",
        postal_code="8802",
        city="Kilchberg ZH",
        state="Zürich",
    ),
)
_SIGN_UPS = (OperationVariant.CHECKOUT, OperationVariant.SIGN_UP)
_NEW_PAYMENTS = (OperationVariant.CHECKOUT, OperationVariant.RESERVE, OperationVariant.CHARGE)


def _sign_up_kinds(context: CheckContext) -> Iterator[tuple[str, OperationKind]]:
    for label, kind in operations.kinds(context):
        if kind.variant in _SIGN_UPS:
            yield label, kind


def _text_refusals(context: CheckContext) -> Iterator[tuple[str, TextRefusal]]:
    for row in context.harness.text_refusals():
        yield f"{row.operation.value}-{row.role.name}-{row.label}", row


def _unusual_payment_data(
    context: CheckContext,
) -> Iterator[tuple[str, tuple[MethodCurrency, dict[str, str]]]]:
    for label, method in setup.each_method(context):
        if context.method_capability(method.role).initial_bearer:
            for name, payment_data in context.harness.unusual_payment_data(method.role).items():
                yield f"{label}-{name}", (method, payment_data)


def _date_cases(
    context: CheckContext,
) -> Iterator[tuple[str, tuple[MethodCurrency, DateWindow, Fault]]]:
    for label, method in setup.each_method(context):
        window = context.method_capability(method.role).debit_date_window
        if window is None or window.latest_days == 0:
            continue
        for place in (0, 1):
            lost = fault_transport.connection_reset(after_booking=False)
            yield f"{label}-request-{place + 1}-lost", (method, window, Fault(lost, skip=place))


def _refused_currencies(context: CheckContext) -> Iterator[tuple[str, tuple[OperationKind, str]]]:
    for label, kind in operations.kinds(context):
        if kind.variant in _NEW_PAYMENTS:
            for currency in context.harness.refused_currencies(kind.method.role):
                yield f"{label}-{currency}", (kind, currency)


@check(operations.kinds)
async def blank_values_are_not_sent(context: CheckContext, kind: OperationKind) -> None:
    """An optional value that is empty or blank is left out: PSPs refuse empty parameters."""
    for payer in _BLANK_PAYERS:
        prepared = await operations.prepare(context, kind)
        changes: dict[str, Any] = {"text": payer.name}
        if isinstance(prepared.call, Authorize):
            changes["payer"] = payer
        context.transport.requests.clear()
        await _execute(context, prepared, **changes)
        blank = [name for name, text in sent_texts(context.transport.requests) if not text.strip()]
        require(not blank, f"Sent without a value: {', '.join(blank)}")


@check(_sign_up_kinds)
async def a_payer_is_sent_whole(context: CheckContext, kind: OperationKind) -> None:
    """A company's name and a line of an address are sent in one parameter, not split into names."""
    prepared = await operations.prepare(context, kind)
    context.transport.requests.clear()
    await _execute(context, prepared, payer=_COMPANY)
    texts = {text for _, text in sent_texts(context.transport.requests)}
    for whole in (_COMPANY.company_name, _COMPANY.address.line1, _COMPANY.address.city):
        parts = texts & _parts_of(whole or "")
        require(not parts, f"{whole!r} was split: {sorted(parts)}")
    missing = context.harness.payer_texts(kind.method.role, _COMPANY) - texts
    require(not missing, f"Not sent, although the PSP takes it: {sorted(missing)}")


@check(_text_refusals)
async def a_refused_text_is_left_out(context: CheckContext, row: TextRefusal) -> None:
    """An operation whose text the PSP refuses is sent again without the text, and succeeds."""
    kind = _kind(context, row)
    prepared = await operations.prepare(context, kind)
    context.transport.requests.clear()
    fault = Fault(fault_transport.respond_with(row.response), path_part=row.path_part)
    with context.transport.inject(fault):
        outcome = await prepared.execute(context)
    require(fault.hits, f"No request's path contains {row.path_part!r}.")
    require(not isinstance(outcome, Declined), f"The text decided the outcome: {describe(outcome)}")
    attempts = [
        {part for name, _ in sent_texts([request]) for part in _NAME.findall(name)}
        for request in _same_requests(context, row.path_part)
    ]
    require(row.member in attempts[0], f"{row.member} was not sent in the first place.")
    require(row.member not in attempts[-1], f"Not sent again without {row.member}.")


@check(_unusual_payment_data)
async def unusual_payment_data_is_accepted(
    context: CheckContext, case: tuple[MethodCurrency, dict[str, str]]
) -> None:
    """Valid payment data signs up, also where a narrow validation would refuse it."""
    method, payment_data = case
    try:
        context.adapter.check_initial_bearer(method.role, payment_data)
    except BearerRefused as error:
        raise Violation(f"The adapter refuses it before asking the PSP: {error}") from error
    call = call_factory.sign_up(
        method.role, method.amount, method.currency, payment_data=payment_data
    )
    outcome = await setup.wait_for_outcome(context, call, await context.connection.authorize(call))
    require_approved(outcome)


@check(_refused_currencies)
async def an_uncertain_currency_is_refused(
    context: CheckContext, case: tuple[OperationKind, str]
) -> None:
    """A new payment in a currency whose unit is not certain is InvalidCurrency, and not sent."""
    kind, currency = case
    prepared = await operations.prepare_unsent(context, kind)
    outcome = await _execute(context, prepared, currency=currency, amount=Decimal(499))
    declined = require_declined(outcome, Code.InvalidCurrency)
    require(declined.message, "The decline does not say why.")
    require(not context.transport.write_requests, "The refused call was sent to the PSP.")


@check(_date_cases)
async def a_date_is_chosen_when_it_is_sent(
    context: CheckContext, case: tuple[MethodCurrency, DateWindow, Fault]
) -> None:
    """A debit that is repeated after midnight is not sent with a date that is too near by then."""
    method, window, fault = case
    clock = context.harness.days_later(1)
    if clock is None:
        raise NotApplicable("the harness cannot move the adapter's clock")
    stored = await setup.stored_instrument(context, method)
    execute_on = (datetime.now(UTC) + timedelta(days=window.earliest_days)).date()
    call = call_factory.charge(method.role, method.amount, method.currency, stored).model_copy(
        update={"execute_on": execute_on}
    )
    with context.transport.inject(fault), suppress(OutcomeUnknown, PspUnavailable):
        await context.connection.charge(call)
    if not fault.hits:
        raise NotApplicable("a charge is a single request")
    context.reconnect()
    context.transport.requests.clear()
    with clock:
        outcome = await context.connection.charge(call)
    require(outcome.outcome in ("approved", "pending"), f"Got {describe(outcome)}")
    sent = {text for _, text in sent_texts(context.transport.write_requests)}
    require(execute_on.isoformat() not in sent, f"{execute_on} was sent a day later.")
    bookings = await context.harness.list_bookings(call.reference)
    require(bookings is None or len(bookings) <= 1, "The debit was booked twice.")


@check(setup.each_method)
async def a_continued_payment_method_is_followed(
    context: CheckContext, method: MethodCurrency
) -> None:
    """A charge whose payment method the PSP continues under another id is sent with that one.

    The outcome names the successor, so that the agreement continues with it.
    """
    former = await setup.stored_instrument(context, method)
    if context.harness.succession_response(former) is None:
        raise NotApplicable("the harness cannot continue a payment method under another id")
    _, sign_up = await setup.sign_up_customer(context, method, method.amount)
    successor = sign_up.instrument
    response = context.harness.succession_response(successor) if successor else None
    if successor is None or response is None:
        raise NotApplicable(f"a sign-up for {method.role.name} leaves no payment method")
    call = call_factory.charge(method.role, method.amount, method.currency, former)
    with context.transport.inject(Fault(fault_transport.respond_with(response))) as fault:
        outcome = await context.connection.charge(call)
    require(fault.hits, "The charge made no request.")
    succession = outcome.succession if isinstance(outcome, Approved | Pending) else None
    if succession is None:
        raise Violation(f"The succession was not followed: {describe(outcome)}")
    for id, token in ((succession.former_id, former.token), (succession.new_id, successor.token)):
        require(id in token.values(), f"The succession names {id}, which no token holds.")


async def _execute(context: CheckContext, prepared: PreparedCall, **changes: Any) -> Outcome:
    call = prepared.call.model_copy(update=changes)
    return await PreparedCall(prepared.variant, call, None).execute(context)


def _kind(context: CheckContext, row: TextRefusal) -> OperationKind:
    for _, kind in operations.kinds(context):
        is_row = operations.OPERATIONS[kind.variant] is row.operation
        if is_row and kind.method.role is row.role:
            return kind
    raise NotApplicable(f"{row.role.name} has no {row.operation.value}")


def _same_requests(context: CheckContext, path_part: str) -> list[httpx.Request]:
    """Return the first write whose path contains `path_part`, and its repetitions."""
    writes = [one for one in context.transport.write_requests if path_part in one.url.path]
    return [one for one in writes if one.url.path == writes[0].url.path]


def _parts_of(text: str) -> set[str]:
    """Return the beginnings and ends of a text, at its spaces."""
    words = text.split()
    cuts = range(1, len(words))
    return {" ".join(words[:cut]) for cut in cuts} | {" ".join(words[cut:]) for cut in cuts}
