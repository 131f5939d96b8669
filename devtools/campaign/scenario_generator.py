"""Generate a campaign's customer journeys. Pure: the same random seed gives the same plan."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal

from devtools.campaign.psp_profiles import PspProfile
from devtools.campaign.scenario import (
    AMOUNT_TOO_HIGH,
    BAD_CARDS,
    CARD_ENDINGS,
    DEBIT_ENDINGS,
    ENDINGS,
    FAILING_IBAN,
    GOOD_CARD,
    GOOD_IBAN,
    INSUFFICIENT_FUNDS,
    PRECONDITION_FAILED,
    REJECTED,
    RETURNED_IBAN,
    SECURE_CARD,
    SUCCEEDED,
    WAITING,
    WRONG_IBAN,
    CheckoutAction,
    PlannedPayment,
    PlannedPreauth,
    PlannedRefund,
    RequestPattern,
    Role,
)


@dataclass
class ScenarioGenerator:
    """Draws customer journeys from a random number generator."""

    rng: random.Random
    day: str
    profile: PspProfile = field(default_factory=PspProfile)

    def journeys(self, transactions: int) -> Iterator[PlannedPreauth]:
        """Yield journeys with at least that many transactions in total."""
        planned = 0
        while planned < transactions:
            journey = self._journey()
            planned += journey.transaction_count
            yield journey

    def _journey(self) -> PlannedPreauth:
        weights = {"card": 60, "declined": 13, "zero": 7} if self.profile.cards else {}
        if self.profile.debits:
            weights |= {"debit": 17, "wrong iban": 3}
        match self.rng.choices(list(weights), weights=list(weights.values()))[0]:
            case "declined":
                return self._declined()
            case "zero":
                return self._zero()
            case "debit":
                return self._debit()
            case "wrong iban":
                expected = frozenset({"Failed:InvalidIBAN", "Failed:BearerInvalid"})
                return self._sign_up("Debit", Decimal(0), expected, iban=WRONG_IBAN)
            case _:
                return self._card()

    def _sign_up(
        self,
        role: Role,
        amount: Decimal,
        expected: frozenset[str],
        *,
        checkout_action: CheckoutAction = "none",
        card: str = GOOD_CARD,
        iban: str | None = None,
    ) -> PlannedPreauth:
        return PlannedPreauth(
            id=self._id(),
            agreement=self._id(),
            role=role,
            amount=amount,
            expected=expected,
            checkout_action=checkout_action,
            card=card,
            iban=iban,
            finalize=self.rng.random() < 0.6,
            pattern=self._pattern(),
        )

    def _declined(self) -> PlannedPreauth:
        end = self.rng.choice(("bad card", "bad card", "fail", "cancel", "abandon"))
        amount = self._whole(20, 150)
        match end:
            case "bad card":
                card, outcome = self.rng.choice(sorted(BAD_CARDS.items()))
                return self._sign_up(
                    "CreditCard", amount, frozenset({outcome}), checkout_action="pay", card=card
                )
            case "fail":
                return self._sign_up(
                    "CreditCard",
                    amount,
                    frozenset({REJECTED}),
                    checkout_action="fail",
                    card=SECURE_CARD,
                )
            case "cancel":
                expected = frozenset({self.profile.cancelled_checkout})
                return self._sign_up("CreditCard", amount, expected, checkout_action="cancel")
            case _:
                return self._sign_up(
                    "CreditCard", amount, frozenset({WAITING}), checkout_action="abandon"
                )

    def _zero(self) -> PlannedPreauth:
        preauth = self._sign_up(
            "CreditCard", Decimal(0), frozenset({SUCCEEDED}), checkout_action="pay"
        )
        return replace(preauth, payments=self._charges(preauth, "CreditCard"))

    def _debit(self) -> PlannedPreauth:
        iban = self.rng.choice((GOOD_IBAN, GOOD_IBAN, FAILING_IBAN, RETURNED_IBAN))
        preauth = self._sign_up("Debit", Decimal(0), frozenset({SUCCEEDED}), iban=iban)
        return replace(preauth, payments=self._charges(preauth, "Debit", at_least=1))

    def _card(self) -> PlannedPreauth:
        secure = self.rng.random() < 0.1
        action: CheckoutAction = "confirm" if secure else "pay"
        card = SECURE_CARD if secure else GOOD_CARD
        expected = frozenset({SUCCEEDED})
        preauth = self._sign_up(
            "CreditCard", self._whole(60, 150), expected, checkout_action=action, card=card
        )
        preauth = self._use_reservation(preauth)
        charges = self._charges(preauth, "CreditCard")
        upgrades: tuple[PlannedPreauth, ...] = ()
        if self.rng.random() < 0.2:
            upgrades = (self._use_reservation(self._upgrade(preauth)),)
        return replace(preauth, payments=preauth.payments + charges, upgrades=upgrades)

    def _upgrade(self, preauth: PlannedPreauth) -> PlannedPreauth:
        return PlannedPreauth(
            id=self._id(),
            agreement=preauth.agreement,
            role="CreditCard",
            amount=self._whole(60, 150),
            expected=frozenset({SUCCEEDED}),
            initial=False,
            pattern=self._pattern(),
        )

    def _use_reservation(self, preauth: PlannedPreauth) -> PlannedPreauth:
        """Plan what follows a preauth: a capture, a cancellation, both concurrently, or nothing."""
        use = self.rng.choices(
            ("capture", "retry", "cancel", "race", "leave"), weights=(60, 8, 12, 12, 8)
        )[0]
        match use:
            case "capture":
                return replace(preauth, payments=(self._capture(preauth),))
            case "retry":
                failing = self._capture(preauth, self.rng.choice(("01", "02", "06")), refunds=False)
                return replace(preauth, payments=(failing, self._capture(preauth)))
            case "cancel":
                return replace(preauth, cancel="alone")
            case "race":
                racing = self._capture(preauth, refunds=False)
                expected = racing.expected | {PRECONDITION_FAILED}
                racing = replace(racing, expected=expected)
                return replace(preauth, cancel="race", payments=(racing,))
            case _:
                return preauth

    def _capture(
        self, preauth: PlannedPreauth, ending: str | None = None, *, refunds: bool = True
    ) -> PlannedPayment:
        amount = self._amount(20, int(preauth.amount) - 1, ending)
        expected = frozenset({CARD_ENDINGS.get(_ending(amount), SUCCEEDED)})
        payment = PlannedPayment(
            id=self._id(),
            agreement=preauth.agreement,
            role="CreditCard",
            amount=amount,
            expected=expected,
            preauth=preauth.id,
            pattern=self._pattern(),
        )
        return self._with_refunds(payment, _ending(amount) == "07") if refunds else payment

    def _charges(
        self, preauth: PlannedPreauth, role: Role, at_least: int = 0
    ) -> tuple[PlannedPayment, ...]:
        count = max(at_least, self.rng.choices((0, 1, 2, 3), weights=(35, 35, 20, 10))[0])
        return tuple(self._charge(preauth, role) for _ in range(count))

    def _charge(self, preauth: PlannedPreauth, role: Role) -> PlannedPayment:
        amount = self._amount(10, 90)
        ending = _ending(amount)
        returned = ending == "07"
        if role == "Debit":
            bank_outcome = INSUFFICIENT_FUNDS if preauth.iban == FAILING_IBAN else SUCCEEDED
            outcome = DEBIT_ENDINGS.get(ending, SUCCEEDED if ending == "11" else bank_outcome)
            expected = frozenset({outcome})
            returned = returned or (preauth.iban == RETURNED_IBAN and ending not in ("05", "11"))
        else:
            expected = frozenset({CARD_ENDINGS.get(ending, SUCCEEDED)})
        payment = PlannedPayment(
            id=self._id(),
            agreement=preauth.agreement,
            role=role,
            amount=amount,
            expected=expected,
            pattern=self._pattern(),
        )
        return self._with_refunds(payment, returned)

    def _with_refunds(self, payment: PlannedPayment, returned: bool) -> PlannedPayment:
        """Plan refunds of a payment that will succeed; `returned`: a chargeback may come first."""
        if payment.expected != {SUCCEEDED}:
            return payment
        variant = self.rng.choices(
            ("none", "one", "several", "over", "together"), weights=(50, 18, 12, 8, 12)
        )[0]
        whole = int(payment.amount)
        match variant:
            case "one":
                refunds = [self._refund(payment, self._amount(1, whole - 1), returned)]
            case "several":
                part = max(1, whole // 4)
                amounts = [self._amount(1, part) for _ in range(self.rng.randint(2, 3))]
                refunds = [self._refund(payment, amount, returned) for amount in amounts]
            case "over":
                first = self._refund(payment, self._amount(1, whole // 2), returned)
                too_high = payment.amount + self._whole(1, 9)
                refunds = [
                    first,
                    self._refund(payment, too_high, returned, frozenset({AMOUNT_TOO_HIGH})),
                ]
            case "together":
                expected = frozenset({AMOUNT_TOO_HIGH})
                refunds = [
                    self._refund(payment, self._amount(whole * 6 // 10, whole - 1), returned)
                    for _ in range(2)
                ]
                refunds = [replace(r, expected=r.expected | expected) for r in refunds]
            case _:
                refunds = []
        return replace(payment, refunds=tuple(refunds), concurrent_refunds=variant == "together")

    def _refund(
        self,
        payment: PlannedPayment,
        amount: Decimal,
        returned: bool,
        expected: frozenset[str] | None = None,
    ) -> PlannedRefund:
        endings = CARD_ENDINGS | {"02": self.profile.refused_refund}
        outcome = expected or frozenset({endings.get(_ending(amount), SUCCEEDED)})
        if returned:
            outcome |= self.profile.disputed_refund
        return PlannedRefund(self._id(), payment.id, amount, outcome, self._pattern())

    def _pattern(self) -> RequestPattern:
        copies = self.rng.randint(2, 10) if self.rng.random() < 0.12 else 1
        timeout = self.rng.uniform(0.02, 0.5) if self.rng.random() < 0.05 else None
        return RequestPattern(copies, timeout, conflicting_repeat=self.rng.random() < 0.04)

    def _amount(self, least: int, most: int, ending: str | None = None) -> Decimal:
        whole = self.rng.randint(least, max(least, most))
        if ending is None:
            magic = self.rng.random() < 0.6
            random_ending = f"{self.rng.randint(12, 99)}"
            ending = self.rng.choice(ENDINGS) if magic else random_ending
        return Decimal(f"{whole}.{ending}")

    def _whole(self, least: int, most: int) -> Decimal:
        return Decimal(f"{self.rng.randint(least, most)}.00")

    def _id(self) -> str:
        return f"{self.day}-{self.rng.getrandbits(96):024x}"


def _ending(amount: Decimal) -> str:
    return f"{amount:.2f}"[-2:]
