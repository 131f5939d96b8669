"""Checks of money: amounts booked by the PSP, reported by the API, and left. Pure.

Each check yields a sentence for every violation of a transaction.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal

from devtools.campaign.psp import LedgerEntry
from devtools.campaign.responses import Items
from devtools.campaign.violations import TransactionCase, booked_amounts

MONEY_IN = ("charge", "capture")
ZERO = Decimal(0)


def double_movements(case: TransactionCase) -> Iterator[str]:
    """Check that nothing is booked twice, and that no preauth is both captured and voided."""
    booked = case.ledger.get(case.transaction.id, ())
    counts = Counter("money in" if e.kind in MONEY_IN else e.kind for e in booked)
    for kind, count in counts.items():
        if count > 1 and kind != "chargeback":
            yield f"{count} × {kind}: {describe_entries(booked)}"
    if case.transaction.kind == "preauth":
        captures = [t for t in case.transactions.values() if t.parent == case.transaction.id]
        capture_count = sum(
            bool(booked_amounts(case.ledger, capture.id, *MONEY_IN)) for capture in captures
        )
        if capture_count > 1:
            yield f"captured by {capture_count} payments"
        if capture_count and case.booked_amounts("void"):
            yield "captured and voided"


def lost_outcomes(case: TransactionCase) -> Iterator[str]:
    """Check that the API reports exactly the movements the PSP has booked."""
    match case.transaction.kind:
        case "payment":
            yield from _lost_payment(case)
        case "refund":
            booked = bool(case.booked_amounts("refund"))
            if booked != (case.outcome == "Succeeded"):
                yield f"the PSP {_booked_text(booked)} a refund, the API reports {case.outcome}"
        case "preauth":
            yield from _lost_preauth(case)


def over_refunds(case: TransactionCase) -> Iterator[str]:
    """Check that refunds and chargebacks never exceed the payment, nor the refunds requested."""
    transaction = case.transaction
    if (
        transaction.kind == "payment"
        and case.final is not None
        and case.final.outcome == "Succeeded"
    ):
        paid = sum(case.booked_amounts(*MONEY_IN).values(), ZERO)
        returned = sum(case.booked_amounts("chargeback").values(), ZERO) + _refunded_amount(case)
        if returned > paid and not (
            case.profile.full_returns and case.booked_amounts("chargeback")
        ):
            yield f"{returned} refunded or charged back of {paid}"
        paid_in_response = sum((amount for _, amount in case.final.paid), ZERO)
        if case.final.refunded + case.final.refundable > paid_in_response:
            refunded, refundable = case.final.refunded, case.final.refundable
            yield f"shows {refunded} refunded, {refundable} left of {paid_in_response}"
    psp_declined = case.row is not None and '"answer"' in case.row.evidence
    amount_declined = (
        transaction.kind == "refund" and case.outcome == "Failed:InvalidAmount" and psp_declined
    )
    if amount_declined and not booked_amounts(case.ledger, transaction.parent or "", "chargeback"):
        yield "the PSP was sent a refund of more than was left of the payment"


def amount_mismatches(case: TransactionCase) -> Iterator[str]:
    """Check that every amount is the requested one and reported sums equal booked sums."""
    transaction, final = case.transaction, case.final
    if transaction.conflict_accepted:
        yield "another amount was accepted under the same id"
    for entry in case.ledger.get(transaction.id, ()):
        if entry.kind != "chargeback" and entry.amount != transaction.amount:
            yield f"{entry.kind} of {entry.amount}, requested {transaction.amount}"
    if final is None or final.outcome.startswith("Failed"):
        return
    if final.amount != transaction.amount:
        yield f"shows a requested amount of {final.amount}, requested {transaction.amount}"
    if transaction.kind == "payment":
        yield from _compare_sums(case)
    elif final.outcome == "Succeeded":
        movement = "refund" if transaction.kind == "refund" else "authorize"
        reported = final.refunded if transaction.kind == "refund" else final.authorized
        booked = sum(case.booked_amounts(movement).values(), ZERO)
        if reported != booked:
            yield f"shows a {movement} of {reported}, booked {booked}"


def describe_entries(entries: Sequence[LedgerEntry]) -> str:
    """Return the entries in one line."""
    return ", ".join(f"{entry.kind} {entry.amount} ({entry.psp_id})" for entry in entries)


def _lost_payment(case: TransactionCase) -> Iterator[str]:
    final = case.final
    paid = case.booked_amounts(*MONEY_IN)
    charged_back = case.booked_amounts("chargeback")
    succeeded = final if final is not None and final.outcome == "Succeeded" else None
    yield from _compare_items("money in", paid, succeeded.paid if succeeded else ())
    if case.profile.chargeback_ids:
        yield from _compare_items(
            "chargeback", charged_back, succeeded.charged_back if succeeded else ()
        )


def _compare_items(label: str, booked: dict[str, Decimal], reported: Items) -> Iterator[str]:
    # Movements of a PSP that numbers them within an order have the order's id as a prefix.
    ids = {id.rpartition("/")[2] for id, _ in reported}
    for id in booked.keys() - ids:
        yield f"{label} {booked[id]} ({id}) is booked but not reported"
    for id in ids - booked.keys():
        yield f"{label} {id} is reported but not booked"


def _lost_preauth(case: TransactionCase) -> Iterator[str]:
    authorized, voided = bool(case.booked_amounts("authorize")), bool(case.booked_amounts("void"))
    reported = case.final.authorized if case.final is not None else ZERO
    if authorized and case.outcome not in ("Succeeded", "Cancelled", "Expired"):
        yield f"money is held, the API reports {case.outcome}"
    if case.outcome == "Succeeded" and reported > 0 and not authorized:
        yield f"the API reports {reported} as authorized, the PSP holds nothing"
    if case.outcome == "Cancelled" and authorized and not voided:
        yield "the API reports Cancelled, the PSP still holds the money"
    if voided and case.outcome != "Cancelled":
        yield f"the PSP has voided it, the API reports {case.outcome}"


def _compare_sums(case: TransactionCase) -> Iterator[str]:
    final = case.final
    if final is None:
        return
    paid = sum(case.booked_amounts(*MONEY_IN).values(), ZERO)
    reported = sum((amount for _, amount in final.paid), ZERO)
    if reported != paid:
        yield f"shows {reported} paid, booked {paid}"
    charged_back = sum(case.booked_amounts("chargeback").values(), ZERO)
    reported = sum((amount for _, amount in final.charged_back), ZERO)
    if reported != charged_back:
        yield f"shows {reported} charged back, booked {charged_back}"
    refunded = _refunded_amount(case)
    if final.refunded != refunded:
        yield f"shows {final.refunded} refunded, booked {refunded}"


def _refunded_amount(case: TransactionCase) -> Decimal:
    amounts = (booked_amounts(case.ledger, refund.id, "refund") for refund in case.refunds())
    return sum((sum(amount.values(), ZERO) for amount in amounts), ZERO)


def _booked_text(booked: bool) -> str:
    return "has booked" if booked else "has not booked"
