"""Base of the harnesses whose PSP is an emulator of the sandbox PSP.

A derived harness defines what differs: the emulator's name, the adapter and its settings form, how
notifications are signed, and the PSP's error format. `harness_factory(...)` returns the function by
which the kit opens it; with live credentials the same harness runs without the sandbox PSP.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch
from uuid import uuid4

import httpx

from devtools.devstack.ports import find_free
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.contract.money import exponent
from integrator.psp.conformance.harness import (
    Booking,
    BookingKind,
    C,
    CustomerBehavior,
    Delivery,
    Harness,
    HarnessFactory,
    Script,
)
from integrator.psp.conformance.receiver import Receiver, running_receiver
from integrator.psp.port import Adapter
from integrator.psp.toolkit import time_formats
from integrator.psp.types import Authorize, Capture, Charge, Instrument, RedirectRequired, Refund
from tests.support.paths import ROOT

SETTLE_SECONDS = 0.05
START_SECONDS = 60
GOOD_IBAN = "DE89370400440532013000"

# Belgian without valid national check digits, the shortest, the longest, and letters in lower case.
_UNUSUAL_IBANS = (
    "BE08510007547063",
    "NO9386011117947",
    "MT84MALT011000012345MTLCAST001S",
    "fr14 2004 1010 0505 0001 3m02 606",
)

GOOD_CARD = "4242424242424242"
_CARDS = {
    CustomerBehavior.PAYS: GOOD_CARD,
    CustomerBehavior.LACKS_FUNDS: "4000000000009995",
    CustomerBehavior.USES_AN_EXPIRED_CARD: "4000000000000069",
    CustomerBehavior.IS_REFUSED: "4000000000000002",
}
_CARDS_BY_SCRIPT = {
    Script.LACKS_FUNDS: _CARDS[CustomerBehavior.LACKS_FUNDS],
    Script.EXPIRED_CARD: _CARDS[CustomerBehavior.USES_AN_EXPIRED_CARD],
}
# The two decimals that select an outcome at the sandbox PSP.
_AMOUNT_ENDINGS = {
    Script.LACKS_FUNDS: "0.01",
    Script.EXPIRED_CARD: "0.02",
    Script.PENDING_THEN_DONE: "0.05",
    Script.PENDING_THEN_FAILED: "0.06",
    Script.CHARGED_BACK: "0.07",
}


@dataclass(frozen=True)
class RunningSandbox:
    """A running sandbox PSP, a client of its control API and the receiver of its webhooks."""

    url: str
    http: httpx.AsyncClient
    receiver: Receiver

    async def control(self, method: str, path: str, **body: Any) -> Any:
        """Call the control API under `/_control`."""
        url = f"{self.url}/_control/{path}"
        if method == "GET":
            response = await self.http.get(url, params=body)
        else:
            response = await self.http.request(method, url, json=body)
        response.raise_for_status()
        return json.loads(response.text, parse_float=Decimal) if response.content else None


class EmulatorHarness(Harness):
    """An account at one emulator; without `sandbox` (live) nothing can be provoked."""

    emulator: ClassVar[str]
    timeout = 6.0

    def __init__(
        self, sandbox: RunningSandbox | None, live: Mapping[str, str] | None = None
    ) -> None:
        self.sandbox = sandbox
        self.api_key, self.secret = self.new_api_key(), self.new_secret()
        self.notification_path = f"/{uuid4().hex}"
        self.form = live or self.settings_form(self.api_key, self.secret)
        self.wrong_form = {**self.form, **self.settings_form(self.new_api_key(), self.secret)}
        self.adapter = self.create_adapter(sandbox.url if sandbox else None)

    # --- to be defined by a derived harness

    def create_adapter(self, url: str | None) -> Adapter:
        """Return the adapter for the emulator at `url` or, for None, for the PSP itself."""
        raise NotImplementedError

    def settings_form(self, api_key: str, secret: str) -> dict[str, str]:
        """Return the values of an account's settings form."""
        raise NotImplementedError

    def new_api_key(self) -> str:
        """Return a new key in the PSP's format."""
        return f"sk_sandbox_{uuid4().hex}"

    def new_secret(self) -> str:
        """Return a new webhook secret in the PSP's format."""
        return f"whsec_{uuid4().hex}"

    def instrument_token(self, method: Mapping[str, Any]) -> dict[str, str]:
        """Return the adapter's token of a payment method of the sandbox PSP (`id`, `customer`)."""
        return {"payment_method": method["id"], "customer": method["customer"]}

    def session_id(self, redirect: RedirectRequired) -> str:
        """Return the sandbox PSP's id (`cs_...`) of the session behind a redirect."""
        return redirect.psp_id

    # --- shared by all emulators

    async def register_account(self) -> None:
        """Create the account at the sandbox PSP."""
        if self.sandbox is not None:
            await self.sandbox.control(
                "PUT",
                "accounts",
                api_key=self.api_key,
                webhook_secret=self.secret,
                webhook_url=self.sandbox.receiver.url + self.notification_path,
                dialect=self.emulator,
            )

    def payment_data(self, role: Role) -> dict[str, str] | None:
        """Return a bank account for debits."""
        return {"Holder": "Mia Kern", "IBAN": GOOD_IBAN} if role is Role.Debit else None

    def unusual_payment_data(self, role: Role) -> Mapping[str, dict[str, str]]:
        """Return bank accounts of all lengths, one without national check digits."""
        if role is not Role.Debit:
            return {}
        return {iban[:2]: {"Holder": "Mia Kern", "IBAN": iban} for iban in _UNUSUAL_IBANS}

    async def instrument(self, role: Role, currency: str) -> Instrument | None:
        """Return a stored card; debits sign up by their payment data."""
        if self.sandbox is None or role is not Role.CreditCard:
            return None
        return await self._store_card(GOOD_CARD)

    async def _store_card(self, number: str) -> Instrument:
        assert self.sandbox is not None
        method = await self.sandbox.control(
            "POST", "payment_methods", api_key=self.api_key, card=number
        )
        return Instrument(token=self.instrument_token(method), bearer={})

    async def visit_page(
        self, call: Authorize, redirect: RedirectRequired, customer: CustomerBehavior
    ) -> bool:
        """Submit the card form of the checkout page, or let the session expire."""
        if self.sandbox is None:
            return False
        if customer is CustomerBehavior.STAYS_AWAY:
            await self.sandbox.control("POST", "expirations", id=self.session_id(redirect))
            return True
        form = {"action": "cancel"}
        if customer in _CARDS:
            card = {"card_number": _CARDS[customer], "holder": "Mia Kern"}
            form = {"action": "pay", "expiry": "12/30", "cvc": "123", **card}
        response = await self.sandbox.http.post(redirect.url or "", data=form)
        assert response.is_redirect, f"the checkout page answered {response.status_code}"
        return True

    async def script_call(self, call: C, script: Script) -> C | None:
        """Script by the amount's ending; an authorization by its stored card."""
        if self.sandbox is None or exponent(call.currency) != 2:
            return None
        if isinstance(call, Authorize):
            if call.role is not Role.CreditCard or call.initial or script not in _CARDS_BY_SCRIPT:
                return None
            return _copy_call(call, instrument=await self._store_card(_CARDS_BY_SCRIPT[script]))
        if not isinstance(call, Charge | Capture | Refund):
            return None
        if isinstance(call, Refund) and script is Script.CHARGED_BACK:
            return None
        if call.role is not Role.CreditCard and script is Script.EXPIRED_CARD:
            return None
        # One less, so that the amount does not exceed what was reserved or paid.
        return _copy_call(call, amount=int(call.amount) - 1 + Decimal(_AMOUNT_ENDINGS[script]))

    async def list_bookings(self, reference: str) -> Sequence[Booking] | None:
        """Read the sandbox PSP's ledger."""
        if self.sandbox is None:
            return None
        ledger = await self.sandbox.control("GET", "ledger", reference=reference)
        return [
            Booking(BookingKind(entry["kind"]), entry["amount"], entry["currency"])
            for entry in ledger["entries"]
        ]

    async def list_deliveries(self) -> Sequence[Delivery] | None:
        """Return what the sandbox PSP's webhook sender has posted."""
        return (
            None
            if self.sandbox is None
            else tuple(self.sandbox.receiver.deliveries[self.notification_path])
        )


@contextmanager
def toolkit_clock(days: int) -> Iterator[None]:
    """Let the toolkit's clock be days ahead while the context is open."""
    now = time_formats.now

    def later() -> datetime:
        return now() + timedelta(days=days)

    with patch.object(time_formats, "now", later):
        yield


def _copy_call(call: C, **changes: Any) -> C:
    return call.model_copy(update=changes)


def harness_factory(harness_class: type[EmulatorHarness]) -> HarnessFactory:
    """Return the function that opens a harness of this class."""

    @asynccontextmanager
    async def open_harness(live: Mapping[str, str] | None) -> AsyncIterator[Harness]:
        if live is not None:
            yield harness_class(None, live)
            return
        async with running_sandbox() as sandbox:
            harness = harness_class(sandbox)
            await harness.register_account()
            yield harness

    return open_harness


@asynccontextmanager
async def running_sandbox() -> AsyncIterator[RunningSandbox]:
    """Run a sandbox PSP in a process of its own."""
    with tempfile.TemporaryDirectory() as directory:
        (port,) = find_free("127.0.0.1", 1)
        process = _start_process(Path(directory), port)
        try:
            url = f"http://127.0.0.1:{port}"
            async with (
                httpx.AsyncClient(timeout=10, trust_env=False) as http,
                running_receiver() as receiver,
            ):
                await _wait_until_healthy(http, url, process, Path(directory))
                yield RunningSandbox(url, http, receiver)
        finally:
            process.terminate()
            process.wait(10)


def _start_process(directory: Path, port: int) -> "subprocess.Popen[bytes]":
    environment = {
        **os.environ,
        "INTEGRATOR_SANDBOX_PORT": str(port),
        "INTEGRATOR_DATA_DIR": str(directory),
        "SANDBOX_SETTLE_SECONDS": str(SETTLE_SECONDS),
    }
    with (directory / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "devtools.sandbox_psp"],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


async def _wait_until_healthy(
    http: httpx.AsyncClient, url: str, process: "subprocess.Popen[bytes]", directory: Path
) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if (await http.get(f"{url}/healthz")).is_success:
                return
        except httpx.TransportError:
            await asyncio.sleep(0.05)
    raise RuntimeError(f"The sandbox PSP did not start:\n{(directory / 'log').read_text()[-2000:]}")
