"""Authorizations: mandates by hosted page or IBAN, stored mandates, migration."""

import re
from functools import partial

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.errors import ProtocolError
from integrator.psp.gocardless import mandates, mapping, request_bodies
from integrator.psp.gocardless.client import GoCardlessClient
from integrator.psp.gocardless.error_codes import CURRENCIES, SCHEMES
from integrator.psp.gocardless.mapping import MANDATE
from integrator.psp.gocardless.optional_fields import PAYER_FIELDS, send_reduced
from integrator.psp.gocardless.wire import BankAccount, BillingRequest, Flow, Mandate
from integrator.psp.toolkit.bank_account import parse_bank_account
from integrator.psp.toolkit.client import RefusedError
from integrator.psp.toolkit.instruments import stored_token
from integrator.psp.toolkit.money import to_minor
from integrator.psp.toolkit.outcomes import require, verify_reference
from integrator.psp.types import Authorize, Declined, Outcome

_MANDATE_ID = re.compile(r"MD[A-Z0-9]{1,64}")
OPEN_STATUSES = ("pending", "ready_to_fulfil")


async def authorize(client: GoCardlessClient, call: Authorize) -> Outcome:
    """Authorize by role and call.

    Raises `RefusedError`, `UnsupportedRequestError` or a `PspError`.
    """
    require(call.role in SCHEMES, Code.InvalidData, "GoCardless has no such payment method.")
    to_minor(call.amount, call.currency)
    currency = CURRENCIES[call.role]
    message = f"{call.role.name} supports {currency} only."
    require(call.currency == currency, Code.InvalidCurrency, message)
    if call.migration_token is not None:
        return await _migrate(client, call, call.migration_token)
    if not call.initial:
        return await _verify_stored_mandate(client, call)
    # Autogiro and Betalingsservice need an identity number, which only the hosted page requests.
    if call.role is Role.Debit and call.initial_bearer:
        return await _create_mandate(client, call)
    return await _open_hosted_page(client, call)


async def fetch_sign_up_outcome(
    client: GoCardlessClient, request: BillingRequest, entered: mapping.Bearer | None = None
) -> Outcome:
    """Return the outcome of a sign-up, reading its mandate if needed."""
    mapped = mapping.sign_up_outcome(request)
    if mapped is not None:
        return mapped
    mandate_id = request.link("mandate_request_mandate")
    mandate = await client.get_by_id(Mandate, mandate_id) if mandate_id else None
    if mandate is None:
        return mapping.fulfilled_outcome(request, None, entered)
    if len({mandate.reference, request.reference} - {None}) > 1:
        raise ProtocolError("GoCardless returned the mandate of another sign-up.")
    current = await mandates.follow_succession(client, mandate)
    succession = mandates.build_succession(mandate.id, current)
    return mapping.fulfilled_outcome(request, current, entered, succession)


async def _migrate(client: GoCardlessClient, call: Authorize, token: str) -> Outcome:
    # The token was typed by a user: only a well-formed id may become part of a URL.
    is_valid_id = _MANDATE_ID.fullmatch(token) is not None
    mandate = await mandates.read_current_mandate(client, token) if is_valid_id else None
    if mandate is None or mandate.scheme != SCHEMES[call.role]:
        return Declined(code=Code.InvalidData, message="GoCardless has no such mandate.")
    account_id = mandate.link("customer_bank_account")
    account = await client.get_by_id(BankAccount, account_id) if account_id else None
    return mapping.mandate_outcome(mandate, mapping.build_mandate_instrument(mandate, account))


async def _verify_stored_mandate(client: GoCardlessClient, call: Authorize) -> Outcome:
    """Check that the stored mandate can be charged later; its instrument is kept.

    If the mandate was replaced, the instrument continues with the new one.
    """
    mandate_id = stored_token(call).get(MANDATE)
    mandate = await mandates.read_current_mandate(client, mandate_id) if mandate_id else None
    if mandate is None or mandate_id is None or call.instrument is None:
        return mapping.mandate_outcome(None)
    succession = mandates.build_succession(mandate_id, mandate)
    instrument = mandates.continue_instrument(call.instrument, succession)
    return mapping.mandate_outcome(mandate, instrument, succession=succession)


async def _open_hosted_page(client: GoCardlessClient, call: Authorize) -> Outcome:
    urls = call.success_url and call.abort_url
    require(urls, Code.InvalidData, "A mandate page needs its return URLs.")
    request = await _create_billing_request(client, call)
    if request.status not in OPEN_STATUSES:
        return await fetch_sign_up_outcome(client, request)
    # Without a key: a second page is harmless, and one whose response was lost cannot be read.
    flow = await send_reduced(
        lambda body: client.create(Flow, body, key=None),
        request_bodies.flow_body(call, request.id),
        PAYER_FIELDS,
    )
    return mapping.redirect_outcome(flow, request)


async def _create_mandate(client: GoCardlessClient, call: Authorize) -> Outcome:
    holder, iban = parse_bank_account(call.initial_bearer)
    request = await _create_billing_request(client, call)
    for action, data in request_bodies.setup_steps(call, holder, iban).items():
        open_steps = {step.type for step in request.actions if step.status != "completed"}
        if request.status in OPEN_STATUSES and action in open_steps:
            step = partial(_perform_step, client, request, action)
            request = await send_reduced(step, data, PAYER_FIELDS)
    if request.status in OPEN_STATUSES:
        request = await _perform_step(client, request, "fulfil", {})
    return await fetch_sign_up_outcome(client, request, {"Holder": holder, "IBAN": iban})


async def _create_billing_request(client: GoCardlessClient, call: Authorize) -> BillingRequest:
    body = request_bodies.billing_request_body(call)
    return verify_reference(await client.create(BillingRequest, body, call.idempotency_key), call)


async def _perform_step(
    client: GoCardlessClient, request: BillingRequest, action: str, data: request_bodies.Body
) -> BillingRequest:
    """Perform a step of the sign-up.

    Steps have no idempotency key: one done by an earlier attempt is refused, and counts as done.
    """
    try:
        return await client.perform_action(BillingRequest, request.id, action, data)
    except RefusedError as refusal:
        current = await client.get_by_id(BillingRequest, request.id)
        if (
            current is None
            or not _is_step_done(current, action)
            or refusal.error_type != "invalid_state"
        ):
            raise
        return current


def _is_step_done(request: BillingRequest, action: str) -> bool:
    if request.status not in OPEN_STATUSES:
        return True
    return any(step.type == action and step.status == "completed" for step in request.actions)
