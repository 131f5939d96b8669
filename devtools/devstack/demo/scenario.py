"""The scenes of one customer's life, in order."""

from dataclasses import dataclass
from decimal import Decimal

from devtools.devstack.demo import checkout, requests
from devtools.devstack.demo.billing_client import Reply
from devtools.devstack.demo.context import Stage
from devtools.devstack.demo.ids import agreement_id, transaction_id
from devtools.devstack.errors import DevStackError

MONTHS = ("January", "February", "March")
FEE = "49.90"


@dataclass(frozen=True)
class Agreement:
    """A sign-up that succeeded: what later payments refer to."""

    id: str
    preauth_id: str


async def play(stage: Stage) -> None:
    """The whole story. Raises `DevStackError` when it cannot go on."""
    await introduce(stage)
    debit = await sign_up_by_debit(stage)
    card = await sign_up_by_card(stage)
    await capture(stage, card)
    months = [await pay_month(stage, card, month) for month in MONTHS]
    await decline(stage, card)
    await refund(stage, months[0])
    await charge_back(stage, card)
    await settle_debit(stage, debit)


async def introduce(stage: Stage) -> None:
    """Capabilities, and the PSP settings read and written back."""
    stage.timeline.chapter("The platform gets to know the integrator")
    info = await stage.platform.get("/api/IntegrationInfo")
    methods = [name for name in ("creditCardMethodInfo", "debitMethodInfo") if info.body.get(name)]
    stage.timeline.note(f"offers {', '.join(methods)}")
    stage.expect("Integration info", "200, 2 methods", f"{info.status}, {len(methods)} methods")
    settings = await stage.platform.get("/api/Settings")
    saved = await stage.platform.put("/api/Settings", settings.body)
    valid = sorted(name for name, value in saved.body.items() if value is True)
    stage.timeline.note(f"valid: {', '.join(valid)}")
    stage.expect("Settings verified", "isCreditCardValid, isDebitValid", ", ".join(valid))


async def sign_up_by_debit(stage: Stage) -> Agreement:
    """The customer types an IBAN at the platform."""
    stage.timeline.chapter("Mia signs up with her bank account")
    id, agreement = transaction_id(), agreement_id()
    body = requests.preauth(id, agreement, "Debit", FEE, stage.webhooks.url)
    reply = await stage.platform.post("/api/Preauth", body)
    stage.link("preauth", id)
    stage.expect("Sign-up by direct debit", "Succeeded", reply.state)
    return Agreement(agreement, id)


async def sign_up_by_card(stage: Stage) -> Agreement:
    """The customer types a card number at the PSP's page and comes back."""
    stage.timeline.chapter("She adds her card")
    id, agreement = transaction_id(), agreement_id()
    body = requests.preauth(id, agreement, "CreditCard", FEE, stage.webhooks.url)
    reply = await stage.platform.post("/api/Preauth", body)
    stage.link("preauth", id)
    stage.expect("Sign-up by card, before checkout", "Initiated", reply.state)
    url = reply.body.get("redirectUrl")
    if not isinstance(url, str):
        raise DevStackError("The sign-up by card has no redirectUrl.")
    back = await checkout.pay(stage.browser, url, stage.timeline)
    if not back.startswith(requests.return_url(id)):
        raise DevStackError("The checkout did not lead to the success page.")
    end = requests.finalize(id, checkout.query_of(back))
    reply = await stage.platform.post("/api/Preauth/Finalize", end)
    stage.expect("Sign-up by card, after checkout", "Succeeded", reply.state)
    return Agreement(agreement, id)


async def capture(stage: Stage, card: Agreement) -> None:
    """The first month is paid from what the sign-up reserved."""
    stage.timeline.chapter("The first fee is captured")
    id = transaction_id()
    body = requests.capture(id, card.preauth_id, card.id, FEE, stage.webhooks.url)
    reply = await stage.platform.post("/api/Payment", body)
    stage.link("payment", id)
    stage.expect("Capture", f"Succeeded, paid {FEE}", _paid(reply))


async def pay_month(stage: Stage, card: Agreement, month: str) -> str:
    """A recurring payment; its id."""
    stage.timeline.chapter(f"Monthly fee, {month}")
    id, reply = await _charge(stage, card, "CreditCard", FEE, f"Basic plan {month}")
    stage.expect(f"Card payment, {month}", f"Succeeded, paid {FEE}", _paid(reply))
    return id


async def decline(stage: Stage, card: Agreement) -> None:
    """A payment the bank refuses is refused on every later look as well."""
    stage.timeline.chapter("An add-on she has no money for")
    id, reply = await _charge(stage, card, "CreditCard", "19.01", "Add-on")
    expected = "422 Failed, InsufficientBalance"
    stage.expect("Declined payment", expected, f"{reply.status} {reply.state}")
    reply = await stage.platform.get(f"/api/Payment/{id}")
    stage.expect("Declined payment, read again", expected, f"{reply.status} {reply.state}")


async def refund(stage: Stage, payment_id: str) -> None:
    """Part of a month is given back."""
    stage.timeline.chapter("Ten euros back for a bad week")
    id = transaction_id()
    body = requests.refund(id, payment_id, "10.00", stage.webhooks.url)
    reply = await stage.platform.post("/api/Refund", body)
    stage.link("refund", id)
    stage.expect("Partial refund", "Succeeded", reply.state)
    reply = await stage.platform.get(f"/api/Payment/{payment_id}")
    left = f"refunded {_amount(reply, 'refundedAmount')}, {_amount(reply, 'refundableAmount')} left"
    stage.expect("Refunded payment", "refunded 10.00, 39.90 left", left)


async def charge_back(stage: Stage, card: Agreement) -> None:
    """The customer's bank takes a payment back after it had succeeded."""
    stage.timeline.chapter("A payment her bank takes back")
    id, reply = await _charge(stage, card, "CreditCard", "25.07", "Day pass")
    stage.expect("Payment to be charged back", "Succeeded, paid 25.07", _paid(reply))
    reply = await stage.read_until("/api/Payment", id, lambda reply: _charged_back(reply) != 0)
    actual = f"{reply.state}, charged back {_charged_back(reply):.2f}"
    stage.expect("Chargeback", "Succeeded, charged back 25.07", actual)


async def settle_debit(stage: Stage, debit: Agreement) -> None:
    """A direct debit stays open until the money has come."""
    stage.timeline.chapter("A month by direct debit")
    id, reply = await _charge(stage, debit, "Debit", FEE, "Basic plan April")
    stage.expect("Direct debit, at first", "Pending", reply.state)
    reply = await stage.read_until("/api/Payment", id, lambda reply: reply.state != "Pending")
    stage.expect("Direct debit, settled", f"Succeeded, paid {FEE}", _paid(reply))


async def _charge(
    stage: Stage, agreement: Agreement, role: str, amount: str, text: str
) -> tuple[str, Reply]:
    id = transaction_id()
    body = requests.payment(id, agreement.id, role, amount, stage.webhooks.url, text)
    reply = await stage.platform.post("/api/Payment", body)
    stage.link("payment", id)
    return id, reply


def _paid(reply: Reply) -> str:
    if reply.state != "Succeeded":
        return reply.state
    paid = sum((Decimal(item["amount"]) for item in reply.body.get("payments", ())), Decimal(0))
    return f"Succeeded, paid {paid:.2f}"


def _charged_back(reply: Reply) -> Decimal:
    items = reply.body.get("chargebacks", ())
    return sum((Decimal(item["amount"]) for item in items), Decimal(0))


def _amount(reply: Reply, name: str) -> str:
    return f"{Decimal(reply.body.get(name, 0)):.2f}"
