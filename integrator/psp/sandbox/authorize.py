"""Authorizations: checkout, reservation on a stored card, mandate, migration."""

import re

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.sandbox import instruments, mapping, request_bodies
from integrator.psp.sandbox.client import SandboxClient
from integrator.psp.sandbox.wire import Authorization, CheckoutSession, Mandate, PaymentMethod
from integrator.psp.toolkit.bank_account import parse_bank_account
from integrator.psp.toolkit.instruments import METHOD, stored_token
from integrator.psp.toolkit.outcomes import require, verify_reference
from integrator.psp.types import Authorize, Declined, Outcome

_TOKEN = re.compile(r"[a-z]{1,10}_[A-Za-z0-9]{1,64}")
_MANDATE_CURRENCY = "EUR"


async def authorize(client: SandboxClient, call: Authorize) -> Outcome:
    """Authorize by role and call.

    Raises `RefusedError`, `UnsupportedRequestError` or a `PspError`.
    """
    if call.migration_token is not None:
        return await _migrate(client, call, call.migration_token)
    match call.role, call.initial:
        case Role.CreditCard, True:
            return await _open_checkout(client, call)
        case Role.CreditCard, False if call.amount > 0:
            return await _reserve_on_stored_card(client, call)
        case Role.Debit, True:
            return await _create_mandate(client, call)
        case Role.CreditCard | Role.Debit, False:
            return await _verify_stored_method(client, call)
        case _:
            return Declined(code=Code.InvalidData, message="The PSP has no such payment method.")


async def _migrate(client: SandboxClient, call: Authorize, token: str) -> Outcome:
    # The token was typed by a user: only a well-formed id may become part of a URL.
    is_valid_id = _TOKEN.fullmatch(token) is not None
    method = await client.get(PaymentMethod, "payment_methods", token) if is_valid_id else None
    return instruments.migration_outcome(method, role=call.role, currency=call.currency)


async def _open_checkout(client: SandboxClient, call: Authorize) -> Outcome:
    urls = call.success_url and call.error_url and call.abort_url
    require(urls, Code.InvalidData, "A checkout needs all three return URLs.")
    body, key = request_bodies.checkout_body(call), call.idempotency_key
    session = await client.post(CheckoutSession, "checkout_sessions", body=body, key=key)
    return mapping.session_outcome(verify_reference(session, call))


async def _reserve_on_stored_card(client: SandboxClient, call: Authorize) -> Outcome:
    token = stored_token(call)
    if METHOD not in token:
        return instruments.stored_method_outcome(None)
    body, key = request_bodies.authorization_body(call, token), call.idempotency_key
    authorization = await client.post(Authorization, "authorizations", body=body, key=key)
    return mapping.authorization_outcome(verify_reference(authorization, call))


async def _create_mandate(client: SandboxClient, call: Authorize) -> Outcome:
    message = f"Direct debits are in {_MANDATE_CURRENCY} only."
    require(call.currency == _MANDATE_CURRENCY, Code.InvalidCurrency, message)
    holder, iban = parse_bank_account(call.initial_bearer)
    body = {"reference": call.reference, "holder": holder, "iban": iban}
    mandate = await client.post(Mandate, "mandates", body=body, key=call.idempotency_key)
    return instruments.mandate_outcome(verify_reference(mandate, call))


async def _verify_stored_method(client: SandboxClient, call: Authorize) -> Outcome:
    """Check that the stored payment method can be charged later; nothing is reserved."""
    method_id = stored_token(call).get(METHOD)
    method = await client.get(PaymentMethod, "payment_methods", method_id) if method_id else None
    return instruments.stored_method_outcome(method)
