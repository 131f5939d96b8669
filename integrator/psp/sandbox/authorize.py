"""The ways an agreement begins or gets a new reservation, one function each."""

import re

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.sandbox import instruments, mapping, request_bodies
from integrator.psp.sandbox.client import SandboxClient
from integrator.psp.sandbox.wire import Authorization, CheckoutSession, Mandate, PaymentMethod
from integrator.psp.toolkit.bank_account import bank_account
from integrator.psp.toolkit.instruments import METHOD, stored
from integrator.psp.toolkit.outcomes import require, verify_reference
from integrator.psp.types import Authorize, Declined, Outcome

_TOKEN = re.compile(r"[a-z]{1,10}_[A-Za-z0-9]{1,64}")
_MANDATE_CURRENCY = "EUR"


async def authorize(client: SandboxClient, call: Authorize) -> Outcome:
    """Choose the way. Raises `RefusedError`, `ImpossibleError` or a `PspError`."""
    if call.migration_token is not None:
        return await _take_over(client, call, call.migration_token)
    match call.role, call.initial:
        case Role.CreditCard, True:
            return await _checkout(client, call)
        case Role.CreditCard, False if call.amount > 0:
            return await _reserve(client, call)
        case Role.Debit, True:
            return await _sign(client, call)
        case Role.CreditCard | Role.Debit, False:
            return await _verify(client, call)
        case _:
            return Declined(code=Code.InvalidData, message="The PSP has no such payment method.")


async def _take_over(client: SandboxClient, call: Authorize, token: str) -> Outcome:
    # Typed by a person: only what can be an id may become part of an address.
    known = _TOKEN.fullmatch(token) is not None
    method = await client.get(PaymentMethod, "payment_methods", token) if known else None
    return instruments.taken_over(method, role=call.role, currency=call.currency)


async def _checkout(client: SandboxClient, call: Authorize) -> Outcome:
    urls = call.success_url and call.error_url and call.abort_url
    require(urls, Code.InvalidData, "A checkout needs all three return URLs.")
    body, key = request_bodies.checkout_body(call), call.idempotency_key
    session = await client.post(CheckoutSession, "checkout_sessions", body=body, key=key)
    return mapping.session_outcome(verify_reference(session, call))


async def _reserve(client: SandboxClient, call: Authorize) -> Outcome:
    token = stored(call)
    if METHOD not in token:
        return instruments.still_usable(None)
    body, key = request_bodies.authorization_body(call, token), call.idempotency_key
    held = await client.post(Authorization, "authorizations", body=body, key=key)
    return mapping.authorization_outcome(verify_reference(held, call))


async def _sign(client: SandboxClient, call: Authorize) -> Outcome:
    message = f"Direct debits are in {_MANDATE_CURRENCY} only."
    require(call.currency == _MANDATE_CURRENCY, Code.InvalidCurrency, message)
    holder, iban = bank_account(call.initial_bearer)
    body = {"reference": call.reference, "holder": holder, "iban": iban}
    mandate = await client.post(Mandate, "mandates", body=body, key=call.idempotency_key)
    return instruments.signed(verify_reference(mandate, call))


async def _verify(client: SandboxClient, call: Authorize) -> Outcome:
    """Nothing to reserve: the stored payment method only has to be good for later."""
    known = stored(call).get(METHOD)
    method = await client.get(PaymentMethod, "payment_methods", known) if known else None
    return instruments.still_usable(method)
