"""Steps of the demo in order: sign-ups, payments, a refund and a chargeback of one customer."""

from dataclasses import dataclass
from decimal import Decimal

from devtools.devstack.demo import checkout, requests
from devtools.devstack.demo.billing_client import ApiResponse
from devtools.devstack.demo.context import DemoContext
from devtools.devstack.demo.ids import agreement_id, transaction_id
from devtools.devstack.errors import DevStackError

MONTHS = ("January", "February", "March")
FEE = "49.90"


@dataclass(frozen=True)
class Agreement:
    """Agreement of a successful sign-up, to which later payments refer."""

    id: str
    preauth_id: str


async def run_scenario(context: DemoContext) -> None:
    """Run all steps. Raises `DevStackError` when a step prevents the next."""
    await check_settings(context)
    debit = await sign_up_by_debit(context)
    card = await sign_up_by_card(context)
    await capture(context, card)
    months = [await pay_month(context, card, month) for month in MONTHS]
    await charge_declined(context, card)
    await refund(context, months[0])
    await receive_chargeback(context, card)
    await charge_by_debit(context, debit)


async def check_settings(context: DemoContext) -> None:
    """Read the capabilities; read the PSP settings and write them back."""
    context.timeline.start_section("Billwerk+ reads the integration info and verifies the settings")
    info = await context.billing.get("/api/IntegrationInfo")
    methods = [name for name in ("creditCardMethodInfo", "debitMethodInfo") if info.body.get(name)]
    context.timeline.add_note(f"offers {', '.join(methods)}")
    context.record_result(
        "Integration info", "200, 2 methods", f"{info.status_code}, {len(methods)} methods"
    )
    settings = await context.billing.get("/api/Settings")
    saved = await context.billing.put("/api/Settings", settings.body)
    valid = sorted(name for name, value in saved.body.items() if value is True)
    context.timeline.add_note(f"valid: {', '.join(valid)}")
    context.record_result("Settings verified", "isCreditCardValid, isDebitValid", ", ".join(valid))


async def sign_up_by_debit(context: DemoContext) -> Agreement:
    """Sign up with an IBAN entered at Billwerk+."""
    context.timeline.start_section("Sign-up by direct debit")
    id, agreement = transaction_id(), agreement_id()
    body = requests.preauth(id, agreement, "Debit", FEE, context.webhooks.url)
    response = await context.billing.post("/api/Preauth", body)
    context.print_workflow_link("preauth", id)
    context.record_result("Sign-up by direct debit", "Succeeded", response.transaction_status)
    return Agreement(agreement, id)


async def sign_up_by_card(context: DemoContext) -> Agreement:
    """Sign up with a card entered on the PSP's checkout page."""
    context.timeline.start_section("Sign-up by card")
    id, agreement = transaction_id(), agreement_id()
    body = requests.preauth(id, agreement, "CreditCard", FEE, context.webhooks.url)
    response = await context.billing.post("/api/Preauth", body)
    context.print_workflow_link("preauth", id)
    context.record_result(
        "Sign-up by card, before checkout", "Initiated", response.transaction_status
    )
    url = response.body.get("redirectUrl")
    if not isinstance(url, str):
        raise DevStackError("The sign-up by card has no redirectUrl.")
    return_url = await checkout.submit_payment(context.browser, url, context.timeline)
    if not return_url.startswith(requests.return_url(id)):
        raise DevStackError("The checkout did not lead to the success page.")
    finalization = requests.finalize(id, checkout.query_parameters(return_url))
    response = await context.billing.post("/api/Preauth/Finalize", finalization)
    context.record_result(
        "Sign-up by card, after checkout", "Succeeded", response.transaction_status
    )
    return Agreement(agreement, id)


async def capture(context: DemoContext, card: Agreement) -> None:
    """Capture the sign-up's preauth for the first month."""
    context.timeline.start_section("Capture of the first fee")
    id = transaction_id()
    body = requests.capture(id, card.preauth_id, card.id, FEE, context.webhooks.url)
    response = await context.billing.post("/api/Payment", body)
    context.print_workflow_link("payment", id)
    context.record_result("Capture", f"Succeeded, paid {FEE}", _describe_paid(response))


async def pay_month(context: DemoContext, card: Agreement, month: str) -> str:
    """Charge a recurring payment; return its id."""
    context.timeline.start_section(f"Monthly fee, {month}")
    id, response = await _charge(context, card, "CreditCard", FEE, f"Basic plan {month}")
    context.record_result(
        f"Card payment, {month}", f"Succeeded, paid {FEE}", _describe_paid(response)
    )
    return id


async def charge_declined(context: DemoContext, card: Agreement) -> None:
    """Charge a payment the bank declines; a later read reports the decline as well."""
    context.timeline.start_section("Payment declined for insufficient funds")
    id, response = await _charge(context, card, "CreditCard", "19.01", "Add-on")
    expected = "422 Failed, InsufficientBalance"
    context.record_result(
        "Declined payment", expected, f"{response.status_code} {response.transaction_status}"
    )
    response = await context.billing.get(f"/api/Payment/{id}")
    context.record_result(
        "Declined payment, read again",
        expected,
        f"{response.status_code} {response.transaction_status}",
    )


async def refund(context: DemoContext, payment_id: str) -> None:
    """Refund part of a payment."""
    context.timeline.start_section("Partial refund of ten euros")
    id = transaction_id()
    body = requests.refund(id, payment_id, "10.00", context.webhooks.url)
    response = await context.billing.post("/api/Refund", body)
    context.print_workflow_link("refund", id)
    context.record_result("Partial refund", "Succeeded", response.transaction_status)
    response = await context.billing.get(f"/api/Payment/{payment_id}")
    refunded = _format_amount(response, "refundedAmount")
    refundable = _format_amount(response, "refundableAmount")
    actual = f"refunded {refunded}, {refundable} left"
    context.record_result("Refunded payment", "refunded 10.00, 39.90 left", actual)


async def receive_chargeback(context: DemoContext, card: Agreement) -> None:
    """Charge a payment and wait until the customer's bank charges it back."""
    context.timeline.start_section("Chargeback of a payment")
    id, response = await _charge(context, card, "CreditCard", "25.07", "Day pass")
    context.record_result(
        "Payment to be charged back", "Succeeded, paid 25.07", _describe_paid(response)
    )
    response = await context.read_until(
        "/api/Payment", id, lambda reply: _charged_back_amount(reply) != 0
    )
    actual = f"{response.transaction_status}, charged back {_charged_back_amount(response):.2f}"
    context.record_result("Chargeback", "Succeeded, charged back 25.07", actual)


async def charge_by_debit(context: DemoContext, debit: Agreement) -> None:
    """Charge a direct debit, which stays pending until it is settled."""
    context.timeline.start_section("Monthly fee by direct debit")
    id, response = await _charge(context, debit, "Debit", FEE, "Basic plan April")
    context.record_result("Direct debit, at first", "Pending", response.transaction_status)
    response = await context.read_until(
        "/api/Payment", id, lambda reply: reply.transaction_status != "Pending"
    )
    context.record_result(
        "Direct debit, settled", f"Succeeded, paid {FEE}", _describe_paid(response)
    )


async def _charge(
    context: DemoContext, agreement: Agreement, role: str, amount: str, text: str
) -> tuple[str, ApiResponse]:
    id = transaction_id()
    body = requests.payment(id, agreement.id, role, amount, context.webhooks.url, text)
    response = await context.billing.post("/api/Payment", body)
    context.print_workflow_link("payment", id)
    return id, response


def _describe_paid(response: ApiResponse) -> str:
    if response.transaction_status != "Succeeded":
        return response.transaction_status
    paid = sum((Decimal(item["amount"]) for item in response.body.get("payments", ())), Decimal(0))
    return f"Succeeded, paid {paid:.2f}"


def _charged_back_amount(response: ApiResponse) -> Decimal:
    items = response.body.get("chargebacks", ())
    return sum((Decimal(item["amount"]) for item in items), Decimal(0))


def _format_amount(response: ApiResponse, name: str) -> str:
    return f"{Decimal(response.body.get(name, 0)):.2f}"
