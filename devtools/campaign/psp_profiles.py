"""What a campaign can do with each PSP that the sandbox PSP plays."""

from collections.abc import Mapping
from dataclasses import dataclass

from devtools.campaign.scenario import (
    CANCELLED,
    EXPIRED,
    EXPIRED_CARD,
    FORBIDDEN,
    REJECTED,
    TOO_MUCH,
)


@dataclass(frozen=True)
class Profile:
    """Which ways of paying a PSP has, as far as a campaign walks them, and how it tells of them.

    `chargeback_ids`: whether a chargeback has the same id in its ledger and in its API.
    `returns_in_full`: whether a bank takes a debit back as a whole, whatever was refunded of it.
    `refused_refund` is what a refund ends with that the sandbox PSP would answer with an expired
    card, `disputed_refund` what it may end with once the bank has taken the money back,
    `left_page` what becomes of a checkout the customer cancels. `reconcile_rounds` is how
    often the books must have been compared until all that is only found so has been.
    """

    cards: bool = True
    debits: bool = True
    chargeback_ids: bool = True
    returns_in_full: bool = False
    refused_refund: str = EXPIRED_CARD
    disputed_refund: frozenset[str] = frozenset({TOO_MUCH})
    left_page: str = CANCELLED
    reconcile_rounds: int = 2


PROFILES: Mapping[str, Profile] = {
    "sandbox": Profile(),
    "stripe": Profile(
        chargeback_ids=False,
        refused_refund="Failed:BearerInvalid",
        disputed_refund=frozenset({TOO_MUCH, FORBIDDEN}),
    ),
    "gocardless": Profile(
        cards=False, chargeback_ids=False, returns_in_full=True, refused_refund=REJECTED
    ),
    # It tells nobody that a page was left, and of chargebacks only who asks for them.
    "billwerk_pay": Profile(debits=False, left_page=EXPIRED, reconcile_rounds=7),
}
