"""The checks of money: what is booked, what is told, what is left. Pure.

Each yields a sentence for everything that is wrong with a transaction.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal

from devtools.campaign.psp import Entry
from devtools.campaign.responses import Items
from devtools.campaign.violations import Case, entries

MONEY_IN = ("charge", "capture")
ZERO = Decimal(0)


def double_movements(case: Case) -> Iterator[str]:
    """Nothing is booked twice, and no reservation is both taken and given back."""
    booked = case.ledger.get(case.of.id, ())
    counts = Counter("money in" if e.kind in MONEY_IN else e.kind for e in booked)
    for kind, count in counts.items():
        if count > 1 and kind != "chargeback":
            yield f"{count} × {kind}: {kinds(booked)}"
    if case.of.kind == "preauth":
        takers = [t for t in case.others.values() if t.owner == case.of.id]
        taken = sum(bool(entries(case.ledger, taker.id, *MONEY_IN)) for taker in takers)
        if taken > 1:
            yield f"captured by {taken} payments"
        if taken and case.booked("void"):
            yield "captured and given back"


def lost_outcomes(case: Case) -> Iterator[str]:
    """What the PSP has booked is what is told, and nothing else."""
    match case.of.kind:
        case "payment":
            yield from _lost_payment(case)
        case "refund":
            booked = bool(case.booked("refund"))
            if booked != (case.outcome == "Succeeded"):
                yield f"the PSP {_has(booked)} a refund, we say {case.outcome}"
        case "preauth":
            yield from _lost_preauth(case)


def over_refunds(case: Case) -> Iterator[str]:
    """Never more is given back than was paid, and the PSP is never asked to."""
    of = case.of
    if of.kind == "payment" and case.final is not None and case.final.outcome == "Succeeded":
        paid = sum(case.booked(*MONEY_IN).values(), ZERO)
        back = sum(case.booked("chargeback").values(), ZERO) + _given_back(case)
        if back > paid and not (case.profile.returns_in_full and case.booked("chargeback")):
            yield f"{back} given back of {paid}"
        shown = sum((amount for _, amount in case.final.paid), ZERO)
        if case.final.given_back + case.final.left > shown:
            yield f"shows {case.final.given_back} refunded, {case.final.left} left of {shown}"
    refused_there = case.row is not None and '"answer"' in case.row.evidence
    too_much = of.kind == "refund" and case.outcome == "Failed:InvalidAmount" and refused_there
    if too_much and not entries(case.ledger, of.owner or "", "chargeback"):
        yield "the PSP was asked for more than was left of the payment"


def amount_mismatches(case: Case) -> Iterator[str]:
    """Every amount is the one asked for, and what is shown adds up to what is booked."""
    of, final = case.of, case.final
    if of.clash_accepted:
        yield "another amount was accepted under the same id"
    for entry in case.ledger.get(of.id, ()):
        if entry.kind != "chargeback" and entry.amount != of.amount:
            yield f"{entry.kind} of {entry.amount}, asked for {of.amount}"
    if final is None or final.outcome.startswith("Failed"):
        return
    if final.amount != of.amount:
        yield f"shows a requested amount of {final.amount}, asked for {of.amount}"
    if of.kind == "payment":
        yield from _sums(case)
    elif final.outcome == "Succeeded":
        movement = "refund" if of.kind == "refund" else "authorize"
        told = final.given_back if of.kind == "refund" else final.held
        booked = sum(case.booked(movement).values(), ZERO)
        if told != booked:
            yield f"shows a {movement} of {told}, booked {booked}"


def kinds(some: Sequence[Entry]) -> str:
    """Movements in a sentence."""
    return ", ".join(f"{entry.kind} {entry.amount} ({entry.psp_id})" for entry in some)


def _lost_payment(case: Case) -> Iterator[str]:
    final = case.final
    paid = case.booked(*MONEY_IN)
    back = case.booked("chargeback")
    shown = final if final is not None and final.outcome == "Succeeded" else None
    yield from _compared("money in", paid, shown.paid if shown else ())
    if case.profile.chargeback_ids:
        yield from _compared("chargeback", back, shown.returned if shown else ())


def _compared(what: str, booked: dict[str, Decimal], told: Items) -> Iterator[str]:
    # A PSP that numbers movements within an order is told apart by the order's name in front.
    ids = {id.rpartition("/")[2] for id, _ in told}
    for id in booked.keys() - ids:
        yield f"{what} {booked[id]} ({id}) is booked and not told"
    for id in ids - booked.keys():
        yield f"{what} {id} is told and not booked"


def _lost_preauth(case: Case) -> Iterator[str]:
    held, released = bool(case.booked("authorize")), bool(case.booked("void"))
    shown = case.final.held if case.final is not None else ZERO
    if held and case.outcome not in ("Succeeded", "Cancelled", "Expired"):
        yield f"money is held, we say {case.outcome}"
    if case.outcome == "Succeeded" and shown > 0 and not held:
        yield f"we say {shown} are held, the PSP holds nothing"
    if case.outcome == "Cancelled" and held and not released:
        yield "we say Cancelled, the PSP still holds the money"
    if released and case.outcome != "Cancelled":
        yield f"the PSP has let the money go, we say {case.outcome}"


def _sums(case: Case) -> Iterator[str]:
    final = case.final
    if final is None:
        return
    paid = sum(case.booked(*MONEY_IN).values(), ZERO)
    shown = sum((amount for _, amount in final.paid), ZERO)
    if shown != paid:
        yield f"shows {shown} paid, booked {paid}"
    returned = sum(case.booked("chargeback").values(), ZERO)
    shown = sum((amount for _, amount in final.returned), ZERO)
    if shown != returned:
        yield f"shows {shown} charged back, booked {returned}"
    back = _given_back(case)
    if final.given_back != back:
        yield f"shows {final.given_back} refunded, booked {back}"


def _given_back(case: Case) -> Decimal:
    amounts = (entries(case.ledger, refund.id, "refund") for refund in case.refunds())
    return sum((sum(amount.values(), ZERO) for amount in amounts), ZERO)


def _has(booked: bool) -> str:
    return "has booked" if booked else "has not booked"
