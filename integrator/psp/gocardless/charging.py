"""Creation of payments: with the mandate's successor, at a possible date, without refused texts."""

from datetime import date

from integrator.psp.gocardless import listing, mandates, request_bodies
from integrator.psp.gocardless.client import GoCardlessClient, GoCardlessRefusal
from integrator.psp.gocardless.error_codes import SCHEMES
from integrator.psp.gocardless.optional_fields import TEXTS, drop_refused
from integrator.psp.gocardless.request_bodies import Body
from integrator.psp.gocardless.wire import Mandate, Payment
from integrator.psp.toolkit import time_formats
from integrator.psp.toolkit.client import treat_unavailable_as_unknown
from integrator.psp.types import Charge, Succession

_MAX_ATTEMPTS = 8
_MANDATE_REPLACED = "mandate_replaced"


async def create_payment(
    client: GoCardlessClient, call: Charge, mandate_id: str
) -> tuple[Payment, Succession | None]:
    """Create a payment, or read the one of an earlier attempt.

    Returns the succession of the mandate as well, if GoCardless has replaced it. Raises
    `RefusedError` or a `PspError`.
    """
    mandate: Mandate | None = None
    charge_on = await _find_charge_date(client, call, mandate_id)
    body = request_bodies.payment_body(call, mandate_id, charge_on)
    for _ in range(_MAX_ATTEMPTS):
        try:
            payment = await client.create(Payment, body, call.idempotency_key)
            return payment, await _find_succession(client, mandate_id, mandate, payment)
        except GoCardlessRefusal as refusal:
            # It may be that of a repetition: whether the key is checked first is unconfirmed.
            existing = await _find_existing(client, call, body["links"]["mandate"])
            if existing is not None:
                return existing, await _find_succession(client, mandate_id, mandate, existing)
            last_refusal = _with_succession(refusal, mandate_id, mandate)
            amended = await _amend(client, refusal, call, body)
            if amended is None:
                raise last_refusal from None
            body, successor = amended
            mandate = successor or mandate
    raise last_refusal


async def _amend(
    client: GoCardlessClient, refusal: GoCardlessRefusal, call: Charge, body: Body
) -> tuple[Body, Mandate | None] | None:
    """Return the body that avoids a refusal, and the mandate it continues with, if another.

    None if the refusal is final.
    """
    if _MANDATE_REPLACED in refusal.error.reasons:
        mandate = await _read_replacement(client, refusal, call, body["links"]["mandate"])
        if mandate is None:
            return None
        charge_on = _choose_charge_date(call, mandate)
        changes = {
            "links": {"mandate": mandate.id},
            "charge_date": charge_on.isoformat() if charge_on else None,
        }
        return {**body, **changes}, mandate
    reduced = drop_refused(refusal, body, TEXTS)
    if reduced is not None:
        return reduced, None
    later = await _find_later_date(client, refusal, call, body)
    return ({**body, "charge_date": later.isoformat()}, None) if later else None


def _with_succession(
    refusal: GoCardlessRefusal, former_id: str, mandate: Mandate | None
) -> GoCardlessRefusal:
    """Return a refusal that says with which mandate the agreement continues nevertheless."""
    if mandate is None:
        return refusal
    succession = mandates.build_succession(former_id, mandate)
    declined = refusal.declined.model_copy(update={"succession": succession})
    return GoCardlessRefusal(declined, refusal.error)


async def _find_existing(client: GoCardlessClient, call: Charge, mandate_id: str) -> Payment | None:
    with treat_unavailable_as_unknown():
        found = await listing.find_by_reference(client, Payment, call.reference, mandate=mandate_id)
    return found[-1] if found else None


async def _read_replacement(
    client: GoCardlessClient, refusal: GoCardlessRefusal, call: Charge, current_id: str
) -> Mandate | None:
    """Return the mandate that continues the refused one; None if GoCardless names none."""
    named = refusal.error.link("new_mandate")
    if named is None or named == current_id:
        current = await mandates.read_current_mandate(client, current_id)
        return current if current and current.id != current_id else None
    return await mandates.read_successor(client, SCHEMES[call.role], named)


async def _find_succession(
    client: GoCardlessClient, former_id: str, mandate: Mandate | None, payment: Payment
) -> Succession | None:
    """Return the succession to the mandate of a payment, also of one of an earlier attempt."""
    used_id = payment.link("mandate") or former_id
    if mandate is None and used_id != former_id:
        with treat_unavailable_as_unknown():
            mandate = await client.get_by_id(Mandate, used_id)
    return mandates.build_succession(former_id, mandate) if mandate else None


async def _find_charge_date(client: GoCardlessClient, call: Charge, mandate_id: str) -> date | None:
    if call.execute_on is None:
        return None
    return _choose_charge_date(call, await client.get_by_id(Mandate, mandate_id))


def _choose_charge_date(call: Charge, mandate: Mandate | None) -> date | None:
    """Return the requested date, but not before the mandate's first possible charge date.

    Chosen when the payment is sent: a repetition on a later day needs a later date. Without a date
    GoCardless collects as soon as possible.
    """
    if call.execute_on is None:
        return None
    first = mandate.next_possible_charge_date if mandate else None
    if first is not None:
        return max(call.execute_on, first)
    return call.execute_on if call.execute_on > time_formats.now().date() else None


async def _find_later_date(
    client: GoCardlessClient, refusal: GoCardlessRefusal, call: Charge, body: Body
) -> date | None:
    """Return the date that became the first possible one after the mandate was read."""
    sent = body.get("charge_date")
    if sent is None or "charge_date" not in refusal.error.fields:
        return None
    later = await _find_charge_date(client, call, body["links"]["mandate"])
    return later if later is not None and later.isoformat() > sent else None
