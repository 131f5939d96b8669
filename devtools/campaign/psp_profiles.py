"""What a campaign can do with each PSP that the sandbox PSP emulates."""

from collections.abc import Mapping
from dataclasses import dataclass

from devtools.campaign.scenario import (
    AMOUNT_TOO_HIGH,
    CANCELLED,
    EXPIRED,
    EXPIRED_CARD,
    PRECONDITION_FAILED,
    REJECTED,
)


@dataclass(frozen=True)
class PspProfile:
    """Payment methods of a PSP that a campaign uses, and the outcomes specific to it.

    `chargeback_ids`: whether a chargeback has the same id in its ledger and in its API.
    `full_returns`: whether a chargeback takes the whole payment, including refunded amounts.
    `refused_refund` is the outcome of a refund that the sandbox PSP declines with an expired card,
    `disputed_refund` the possible outcomes of a refund after a chargeback, `cancelled_checkout`
    the outcome of a checkout the customer cancels. `reconcile_rounds` is the number of
    reconciliation rounds after which everything that only reconciliation finds has been found.
    """

    cards: bool = True
    debits: bool = True
    chargeback_ids: bool = True
    full_returns: bool = False
    refused_refund: str = EXPIRED_CARD
    disputed_refund: frozenset[str] = frozenset({AMOUNT_TOO_HIGH})
    cancelled_checkout: str = CANCELLED
    reconcile_rounds: int = 2


PROFILES: Mapping[str, PspProfile] = {
    "sandbox": PspProfile(),
    "stripe": PspProfile(
        chargeback_ids=False,
        full_returns=True,
        refused_refund="Failed:BearerInvalid",
        disputed_refund=frozenset({AMOUNT_TOO_HIGH, PRECONDITION_FAILED}),
    ),
    "gocardless": PspProfile(
        cards=False, chargeback_ids=False, full_returns=True, refused_refund=REJECTED
    ),
    # It does not report a cancelled checkout, and reports chargebacks only when they are read.
    "billwerk_pay": PspProfile(debits=False, cancelled_checkout=EXPIRED, reconcile_rounds=7),
}
