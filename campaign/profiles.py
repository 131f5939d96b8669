"""What a campaign can do with each PSP that the sandbox PSP plays."""

from collections.abc import Mapping
from dataclasses import dataclass

from campaign.plan import EXPIRED_CARD, REJECTED


@dataclass(frozen=True)
class Profile:
    """Which ways of paying a PSP has, as far as a campaign walks them, and how it tells of them.

    `chargeback_ids`: whether its chargebacks have ids of their own. `returns_in_full`: whether a
    bank takes a debit back as a whole, whatever was refunded of it. `refused_refund` is what a
    refund ends with that the sandbox PSP would answer with an expired card.
    """

    cards: bool = True
    debits: bool = True
    chargeback_ids: bool = True
    returns_in_full: bool = False
    refused_refund: str = EXPIRED_CARD


PROFILES: Mapping[str, Profile] = {
    "sandbox": Profile(),
    "stripe": Profile(),
    "gocardless": Profile(
        cards=False, chargeback_ids=False, returns_in_full=True, refused_refund=REJECTED
    ),
    "billwerk_pay": Profile(debits=False),
}
