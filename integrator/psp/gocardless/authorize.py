"""The ways a mandate comes about or is used again, one function each."""

import re

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.gocardless import mapping, request_bodies
from integrator.psp.gocardless.client import GoCardlessClient
from integrator.psp.gocardless.error_codes import CURRENCIES, SCHEMES
from integrator.psp.gocardless.mapping import MANDATE
from integrator.psp.gocardless.wire import BankAccount, BillingRequest, Flow, Mandate
from integrator.psp.toolkit.bank_account import bank_account
from integrator.psp.toolkit.client import RefusedError
from integrator.psp.toolkit.instruments import stored
from integrator.psp.toolkit.money import to_minor
from integrator.psp.toolkit.outcomes import require, verify_reference
from integrator.psp.types import Authorize, Declined, Outcome

_MANDATE_ID = re.compile(r"MD[A-Z0-9]{1,64}")
OPEN = ("pending", "ready_to_fulfil")


async def authorize(client: GoCardlessClient, call: Authorize) -> Outcome:
    """Choose the way. Raises `RefusedError`, `ImpossibleError` or a `PspError`."""
    require(call.role in SCHEMES, Code.InvalidData, "GoCardless has no such payment method.")
    to_minor(call.amount, call.currency)
    currency = CURRENCIES[call.role]
    message = f"{call.role.name} is in {currency} only."
    require(call.currency == currency, Code.InvalidCurrency, message)
    if call.migration_token is not None:
        return await _take_over(client, call, call.migration_token)
    if not call.initial:
        return await _still_usable(client, call)
    # Autogiro and Betalingsservice need an identity number, which only the hosted page asks for.
    if call.role is Role.Debit and call.initial_bearer:
        return await _sign(client, call)
    return await _visit(client, call)


async def outcome(
    client: GoCardlessClient, request: BillingRequest, typed: mapping.Bearer | None = None
) -> Outcome:
    """What a sign-up has come to."""
    found = mapping.sign_up_outcome(request)
    if found is not None:
        return found
    named = request.links.get("mandate_request_mandate")
    mandate = await client.named(Mandate, named) if named else None
    return mapping.signed(request, mandate, typed)


async def _take_over(client: GoCardlessClient, call: Authorize, token: str) -> Outcome:
    # Typed by a person: only what can be an id may become part of an address.
    known = _MANDATE_ID.fullmatch(token) is not None
    mandate = await client.named(Mandate, token) if known else None
    if mandate is None or mandate.scheme != SCHEMES[call.role]:
        return Declined(code=Code.InvalidData, message="GoCardless has no such mandate.")
    account_id = mandate.links.get("customer_bank_account")
    account = await client.named(BankAccount, account_id) if account_id else None
    return mapping.mandate_outcome(mandate, mapping.instrument(mandate, account))


async def _still_usable(client: GoCardlessClient, call: Authorize) -> Outcome:
    """Nothing to reserve: the mandate only has to be good for later. What is stored stays."""
    known = stored(call).get(MANDATE)
    mandate = await client.named(Mandate, known) if known else None
    return mapping.mandate_outcome(mandate, call.instrument)


async def _visit(client: GoCardlessClient, call: Authorize) -> Outcome:
    urls = call.success_url and call.abort_url
    require(urls, Code.InvalidData, "A mandate page needs its return URLs.")
    request = await _request(client, call)
    if request.status not in OPEN:
        return await outcome(client, request)
    # Without a key: a page made twice is harmless, one whose answer was lost cannot be read again.
    flow = await client.create(Flow, request_bodies.flow(call, request.id), key=None)
    return mapping.redirected(flow, request)


async def _sign(client: GoCardlessClient, call: Authorize) -> Outcome:
    holder, iban = bank_account(call.initial_bearer)
    request = await _request(client, call)
    for action, data in request_bodies.steps(call, holder, iban).items():
        todo = {step.type for step in request.actions if step.status != "completed"}
        if request.status in OPEN and action in todo:
            request = await _act(client, request, action, data)
    if request.status in OPEN:
        request = await _act(client, request, "fulfil", {})
    return await outcome(client, request, {"Holder": holder, "IBAN": iban})


async def _request(client: GoCardlessClient, call: Authorize) -> BillingRequest:
    body = request_bodies.billing_request(call)
    return verify_reference(await client.create(BillingRequest, body, call.idempotency_key), call)


async def _act(
    client: GoCardlessClient, request: BillingRequest, action: str, data: request_bodies.Body
) -> BillingRequest:
    """Take a step. Steps have no key: one that an earlier attempt took is refused, and is done."""
    try:
        return await client.act(BillingRequest, request.id, action, data)
    except RefusedError as refusal:
        found = await client.named(BillingRequest, request.id)
        if found is None or not _was_taken(found, action) or refusal.kind != "invalid_state":
            raise
        return found


def _was_taken(request: BillingRequest, action: str) -> bool:
    if request.status not in OPEN:
        return True
    return any(step.type == action and step.status == "completed" for step in request.actions)
