"""Currencies in the adapters' units: those that have left ISO 4217, and those of other systems."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from integrator.contract import currencies
from integrator.contract.enums import PaymentErrorCode
from integrator.psp.billwerk_pay import money as billwerk_pay
from integrator.psp.stripe import money as stripe
from integrator.psp.toolkit import money
from integrator.psp.toolkit.money import UnknownCurrencyReported, UnsupportedAmountError
from integrator.psp.toolkit.pagination import build_movements
from integrator.psp.types import Movement, MovementKind, Pending

Conversion = tuple[Callable[[Decimal, str], int], Callable[[int, str], Decimal]]
CONVERSIONS: dict[str, Conversion] = {
    "minor units": (money.to_minor, money.to_major),
    "stripe": (stripe.to_minor, stripe.to_major),
    "billwerk_pay": (billwerk_pay.to_minor, billwerk_pay.to_major),
}


NEVER_SUPPORTED = {("stripe", "BYR")}
"""Stripe has no list of currencies without decimals that names it."""


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (name, code)
        for name in CONVERSIONS
        for code in currencies.WITHDRAWN
        if (name, code) not in NEVER_SUPPORTED
    ],
)
def test_old_payments_in_a_withdrawn_currency_can_be_refunded(name: str, code: str) -> None:
    to_minor, to_major = CONVERSIONS[name]
    amount = Decimal(19)
    assert to_major(to_minor(amount, code), code) == amount


@pytest.mark.parametrize("name", CONVERSIONS)
def test_an_unknown_currency_is_neither_sent_nor_read(name: str) -> None:
    to_minor, to_major = CONVERSIONS[name]
    with pytest.raises(UnsupportedAmountError) as refusal:
        to_minor(Decimal(19), "ZZZ")
    assert refusal.value.code is PaymentErrorCode.InvalidCurrency
    with pytest.raises(UnknownCurrencyReported):
        to_major(1900, "ZZZ")


def test_a_movement_in_an_unknown_currency_does_not_end_the_list(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def build(currency: str) -> Movement:
        return Movement(
            kind=MovementKind.PAYMENT,
            psp_id=f"ch_{currency}",
            reference=None,
            parent_psp_id=None,
            amount=money.to_major(1900, currency),
            currency=currency,
            booked_at=datetime(2026, 1, 15, tzinfo=UTC),
            outcome=Pending(psp_id="ch"),
        )

    with caplog.at_level(logging.WARNING):
        movements = build_movements(["EUR", "ZZZ", "BGN"], build)
    assert [movement and movement.psp_id for movement in movements] == ["ch_EUR", None, "ch_BGN"]
    assert "not in ISO 4217" in caplog.text
