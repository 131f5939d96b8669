"""Draws the lives of a campaign. Pure: the same dice give the same plan."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal

from devtools.campaign.psp_profiles import Profile
from devtools.campaign.scenario import (
    BAD_CARDS,
    CARD_ENDINGS,
    DEBIT_ENDINGS,
    ENDINGS,
    FAILING_IBAN,
    FORBIDDEN,
    GOOD_CARD,
    GOOD_IBAN,
    POOR,
    REJECTED,
    RETURNED_IBAN,
    SECURE_CARD,
    SUCCEEDED,
    TOO_MUCH,
    WAITING,
    WRONG_IBAN,
    Manner,
    Payment,
    Preauth,
    Refund,
    Role,
    Visit,
)


@dataclass
class ScenarioGenerator:
    """Draws lives from one source of chance."""

    dice: random.Random
    day: str
    profile: Profile = field(default_factory=Profile)

    def lives(self, transactions: int) -> Iterator[Preauth]:
        """Lives with at least that many transactions in all."""
        planned = 0
        while planned < transactions:
            life = self._life()
            planned += life.transactions
            yield life

    def _life(self) -> Preauth:
        weights = {"card": 60, "declined": 13, "zero": 7} if self.profile.cards else {}
        if self.profile.debits:
            weights |= {"debit": 17, "wrong iban": 3}
        match self.dice.choices(list(weights), weights=list(weights.values()))[0]:
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
        visit: Visit = "none",
        card: str = GOOD_CARD,
        iban: str | None = None,
    ) -> Preauth:
        return Preauth(
            id=self._id(),
            agreement=self._id(),
            role=role,
            amount=amount,
            expected=expected,
            visit=visit,
            card=card,
            iban=iban,
            finalize=self.dice.random() < 0.6,
            manner=self._manner(),
        )

    def _declined(self) -> Preauth:
        end = self.dice.choice(("bad card", "bad card", "fail", "cancel", "abandon"))
        amount = self._whole(20, 150)
        match end:
            case "bad card":
                card, outcome = self.dice.choice(sorted(BAD_CARDS.items()))
                return self._sign_up(
                    "CreditCard", amount, frozenset({outcome}), visit="pay", card=card
                )
            case "fail":
                return self._sign_up(
                    "CreditCard", amount, frozenset({REJECTED}), visit="fail", card=SECURE_CARD
                )
            case "cancel":
                left = frozenset({self.profile.left_page})
                return self._sign_up("CreditCard", amount, left, visit="cancel")
            case _:
                return self._sign_up("CreditCard", amount, frozenset({WAITING}), visit="abandon")

    def _zero(self) -> Preauth:
        life = self._sign_up("CreditCard", Decimal(0), frozenset({SUCCEEDED}), visit="pay")
        return replace(life, payments=self._charges(life, "CreditCard"))

    def _debit(self) -> Preauth:
        iban = self.dice.choice((GOOD_IBAN, GOOD_IBAN, FAILING_IBAN, RETURNED_IBAN))
        life = self._sign_up("Debit", Decimal(0), frozenset({SUCCEEDED}), iban=iban)
        return replace(life, payments=self._charges(life, "Debit", at_least=1))

    def _card(self) -> Preauth:
        secure = self.dice.random() < 0.1
        visit: Visit = "confirm" if secure else "pay"
        card = SECURE_CARD if secure else GOOD_CARD
        ok = frozenset({SUCCEEDED})
        life = self._sign_up("CreditCard", self._whole(60, 150), ok, visit=visit, card=card)
        life = self._reserved(life)
        charges = self._charges(life, "CreditCard")
        upgrades: tuple[Preauth, ...] = ()
        if self.dice.random() < 0.2:
            upgrades = (self._reserved(self._upgrade(life)),)
        return replace(life, payments=life.payments + charges, upgrades=upgrades)

    def _upgrade(self, life: Preauth) -> Preauth:
        return Preauth(
            id=self._id(),
            agreement=life.agreement,
            role="CreditCard",
            amount=self._whole(60, 150),
            expected=frozenset({SUCCEEDED}),
            initial=False,
            manner=self._manner(),
        )

    def _reserved(self, life: Preauth) -> Preauth:
        """What becomes of a reservation: captured, cancelled, both at once, or left alone."""
        fate = self.dice.choices(
            ("capture", "retry", "cancel", "race", "leave"), weights=(60, 8, 12, 12, 8)
        )[0]
        match fate:
            case "capture":
                return replace(life, payments=(self._capture(life),))
            case "retry":
                failing = self._capture(life, self.dice.choice(("01", "02", "06")), refunds=False)
                return replace(life, payments=(failing, self._capture(life)))
            case "cancel":
                return replace(life, cancel="alone")
            case "race":
                racing = self._capture(life, refunds=False)
                loose = racing.expected | {FORBIDDEN}
                racing = replace(racing, expected=loose)
                return replace(life, cancel="race", payments=(racing,))
            case _:
                return life

    def _capture(
        self, life: Preauth, ending: str | None = None, *, refunds: bool = True
    ) -> Payment:
        amount = self._amount(20, int(life.amount) - 1, ending)
        expected = frozenset({CARD_ENDINGS.get(_ending(amount), SUCCEEDED)})
        made = Payment(
            id=self._id(),
            agreement=life.agreement,
            role="CreditCard",
            amount=amount,
            expected=expected,
            preauth=life.id,
            manner=self._manner(),
        )
        return self._with_refunds(made, _ending(amount) == "07") if refunds else made

    def _charges(self, life: Preauth, role: Role, at_least: int = 0) -> tuple[Payment, ...]:
        count = max(at_least, self.dice.choices((0, 1, 2, 3), weights=(35, 35, 20, 10))[0])
        return tuple(self._charge(life, role) for _ in range(count))

    def _charge(self, life: Preauth, role: Role) -> Payment:
        amount = self._amount(10, 90)
        ending = _ending(amount)
        returned = ending == "07"
        if role == "Debit":
            of_bank = POOR if life.iban == FAILING_IBAN else SUCCEEDED
            steered = DEBIT_ENDINGS.get(ending, SUCCEEDED if ending == "11" else of_bank)
            expected = frozenset({steered})
            returned = returned or (life.iban == RETURNED_IBAN and ending not in ("05", "11"))
        else:
            expected = frozenset({CARD_ENDINGS.get(ending, SUCCEEDED)})
        made = Payment(
            id=self._id(),
            agreement=life.agreement,
            role=role,
            amount=amount,
            expected=expected,
            manner=self._manner(),
        )
        return self._with_refunds(made, returned)

    def _with_refunds(self, payment: Payment, returned: bool) -> Payment:
        """Refunds of a payment that will succeed; `returned`: the bank may be faster."""
        if payment.expected != {SUCCEEDED}:
            return payment
        fate = self.dice.choices(
            ("none", "one", "several", "over", "together"), weights=(50, 18, 12, 8, 12)
        )[0]
        whole = int(payment.amount)
        match fate:
            case "one":
                refunds = [self._refund(payment, self._amount(1, whole - 1), returned)]
            case "several":
                part = max(1, whole // 4)
                amounts = [self._amount(1, part) for _ in range(self.dice.randint(2, 3))]
                refunds = [self._refund(payment, amount, returned) for amount in amounts]
            case "over":
                first = self._refund(payment, self._amount(1, whole // 2), returned)
                over = payment.amount + self._whole(1, 9)
                refunds = [first, self._refund(payment, over, returned, frozenset({TOO_MUCH}))]
            case "together":
                either = frozenset({TOO_MUCH})
                refunds = [
                    self._refund(payment, self._amount(whole * 6 // 10, whole - 1), returned)
                    for _ in range(2)
                ]
                refunds = [replace(r, expected=r.expected | either) for r in refunds]
            case _:
                refunds = []
        return replace(payment, refunds=tuple(refunds), together=fate == "together")

    def _refund(
        self,
        payment: Payment,
        amount: Decimal,
        returned: bool,
        expected: frozenset[str] | None = None,
    ) -> Refund:
        endings = CARD_ENDINGS | {"02": self.profile.refused_refund}
        outcome = expected or frozenset({endings.get(_ending(amount), SUCCEEDED)})
        if returned:
            outcome |= self.profile.disputed_refund
        return Refund(self._id(), payment.id, amount, outcome, self._manner())

    def _manner(self) -> Manner:
        copies = self.dice.randint(2, 10) if self.dice.random() < 0.12 else 1
        patience = self.dice.uniform(0.02, 0.5) if self.dice.random() < 0.05 else None
        return Manner(copies, patience, clash=self.dice.random() < 0.04)

    def _amount(self, least: int, most: int, ending: str | None = None) -> Decimal:
        whole = self.dice.randint(least, max(least, most))
        if ending is None:
            steered = self.dice.random() < 0.6
            plain = f"{self.dice.randint(12, 99)}"
            ending = self.dice.choice(ENDINGS) if steered else plain
        return Decimal(f"{whole}.{ending}")

    def _whole(self, least: int, most: int) -> Decimal:
        return Decimal(f"{self.dice.randint(least, most)}.00")

    def _id(self) -> str:
        return f"{self.day}-{self.dice.getrandbits(96):024x}"


def _ending(amount: Decimal) -> str:
    return f"{amount:.2f}"[-2:]
