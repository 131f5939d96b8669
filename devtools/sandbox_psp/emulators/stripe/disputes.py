"""Disputes: chargebacks of the engine, decided by evidence as in Stripe's test mode.

https://docs.stripe.com/testing#evidence: the text `winning_evidence` returns the money, and
`losing_evidence` only what was refunded before.
"""

from devtools.sandbox_psp import charges, events, repository
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.stripe import serializers
from devtools.sandbox_psp.emulators.stripe.errors import invalid_request, resource_missing
from devtools.sandbox_psp.emulators.stripe.models import with_prefix
from devtools.sandbox_psp.emulators.stripe.requests import DisputeParams
from devtools.sandbox_psp.idempotency import ApiResponse, json_response
from devtools.sandbox_psp.models import Charge, Chargeback


def submit_evidence(ctx: Context, account: str, id: str, params: DisputeParams) -> ApiResponse:
    """Decide a dispute and return its money, or the refunded part of it."""
    charge, chargeback = _find(ctx, account, id)
    if serializers.dispute_status(charge, chargeback) != "needs_response":
        raise invalid_request("This dispute is already closed.", param="id")
    is_won = params.evidence.uncategorized_text == "winning_evidence"
    returned = chargeback.amount if is_won else min(charge.amount_refunded, chargeback.amount)
    if not is_won:
        charge.extra["lost_disputes"] = [*charge.extra.get("lost_disputes", []), chargeback.id]
        repository.save(ctx.db, charge)
    if returned:
        charges.reverse_chargeback(ctx, charge, returned)
    events.emit(ctx, "charge.dispute_closed", charge)
    body = serializers.serialize_dispute(ctx, charge, chargeback)
    return json_response(200, serializers.expand_references(body, params.expand))


def is_disputed(charge: Charge) -> bool:
    """Return whether a dispute of the charge is open or lost: then nothing can be refunded."""
    return any(
        serializers.dispute_status(charge, chargeback) != "won" for chargeback in charge.chargebacks
    )


def _find(ctx: Context, account: str, id: str) -> tuple[Charge, Chargeback]:
    rows = ctx.db.all(
        "SELECT body FROM objects WHERE account = ? AND kind = 'charge' AND body LIKE ?",
        account,
        f"%{with_prefix(id, 'cb')}%",
    )
    for row in rows:
        charge = Charge.model_validate_json(row["body"])
        for chargeback in charge.chargebacks:
            if with_prefix(chargeback.id, "dp") == id:
                return charge, chargeback
    raise resource_missing("dispute", id)
