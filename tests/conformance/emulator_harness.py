"""Base of the benches whose stand-in is a dialect of the sandbox PSP.

A derived bench says what differs: the dialect's name, the adapter and its settings form, how
notifications are signed, and the PSP's wording of errors. `factory(...)` makes the function that
the kit opens it by; with live credentials the same bench runs without any stand-in.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import httpx

from devtools.devstack.ports import find_free
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.contract.money import exponent
from integrator.psp.conformance.harness import (
    Booking,
    C,
    Customer,
    Delivery,
    Harness,
    HarnessFactory,
    Movement,
    Script,
)
from integrator.psp.conformance.receiver import Receiver, receiving
from integrator.psp.port import Adapter
from integrator.psp.types import Authorize, Capture, Charge, Instrument, RedirectRequired, Refund

ROOT = Path(__file__).parents[2]
SETTLE_SECONDS = 0.05
START_SECONDS = 60
GOOD_IBAN = "DE89370400440532013000"

GOOD_CARD = "4242424242424242"
_CARDS = {
    Customer.PAYS: GOOD_CARD,
    Customer.LACKS_FUNDS: "4000000000009995",
    Customer.USES_AN_EXPIRED_CARD: "4000000000000069",
    Customer.IS_REFUSED: "4000000000000002",
}
_CARDS_BY_SCRIPT = {
    Script.LACKS_FUNDS: _CARDS[Customer.LACKS_FUNDS],
    Script.EXPIRED_CARD: _CARDS[Customer.USES_AN_EXPIRED_CARD],
}
# The two decimals that steer the sandbox PSP.
_ENDINGS = {
    Script.LACKS_FUNDS: "0.01",
    Script.EXPIRED_CARD: "0.02",
    Script.PENDING_THEN_DONE: "0.05",
    Script.PENDING_THEN_FAILED: "0.06",
    Script.CHARGED_BACK: "0.07",
}


@dataclass(frozen=True)
class RunningSandbox:
    """A running sandbox PSP, a client for its levers and the receiver of its webhooks."""

    url: str
    http: httpx.AsyncClient
    receiver: Receiver

    async def control(self, method: str, path: str, **body: Any) -> Any:
        """Pull a lever under `/_control`."""
        url = f"{self.url}/_control/{path}"
        if method == "GET":
            response = await self.http.get(url, params=body)
        else:
            response = await self.http.request(method, url, json=body)
        response.raise_for_status()
        return json.loads(response.text, parse_float=Decimal) if response.content else None


class EmulatorHarness(Harness):
    """An account of one dialect; without `stand_in` (live) nothing can be provoked."""

    dialect: ClassVar[str]
    patience = 6.0

    def __init__(
        self, stand_in: RunningSandbox | None, live: Mapping[str, str] | None = None
    ) -> None:
        self.stand_in = stand_in
        self.api_key, self.secret = self.new_api_key(), self.new_secret()
        self.inbox = f"/{uuid4().hex}"
        self.form = live or self.settings_form(self.api_key, self.secret)
        self.wrong_form = {**self.form, **self.settings_form(self.new_api_key(), self.secret)}
        self.adapter = self.adapter_at(stand_in.url if stand_in else None)

    # --- what a derived bench says

    def adapter_at(self, url: str | None) -> Adapter:
        """The adapter, sent to the stand-in at `url` or, for None, to the PSP itself."""
        raise NotImplementedError

    def settings_form(self, api_key: str, secret: str) -> dict[str, str]:
        """The values of the settings form of an account."""
        raise NotImplementedError

    def new_api_key(self) -> str:
        """A key that looks like the PSP's."""
        return f"sk_sandbox_{uuid4().hex}"

    def new_secret(self) -> str:
        """A webhook secret that looks like the PSP's."""
        return f"whsec_{uuid4().hex}"

    def token(self, method: Mapping[str, Any]) -> dict[str, str]:
        """The adapter's token for a payment method of the sandbox PSP (`id`, `customer`)."""
        return {"payment_method": method["id"], "customer": method["customer"]}

    def session_id(self, redirect: RedirectRequired) -> str:
        """The sandbox PSP's own id (`cs_...`) of the session behind a redirect."""
        return redirect.psp_id

    # --- what all of them share

    async def register(self) -> None:
        """Open the account."""
        if self.stand_in is not None:
            await self.stand_in.control(
                "PUT",
                "accounts",
                api_key=self.api_key,
                webhook_secret=self.secret,
                webhook_url=self.stand_in.receiver.url + self.inbox,
                dialect=self.dialect,
            )

    def bearer(self, role: Role) -> dict[str, str] | None:
        """A bank account for debits."""
        return {"Holder": "Mia Kern", "IBAN": GOOD_IBAN} if role is Role.Debit else None

    async def instrument(self, role: Role, currency: str) -> Instrument | None:
        """A stored card; debits sign up by their bearer."""
        if self.stand_in is None or role is not Role.CreditCard:
            return None
        return await self._card(GOOD_CARD)

    async def _card(self, number: str) -> Instrument:
        assert self.stand_in is not None
        method = await self.stand_in.control(
            "POST", "payment_methods", api_key=self.api_key, card=number
        )
        return Instrument(token=self.token(method), bearer={})

    async def visit(self, call: Authorize, redirect: RedirectRequired, customer: Customer) -> bool:
        """Fill in the card form of the checkout page, or let the session's time run out."""
        if self.stand_in is None:
            return False
        if customer is Customer.STAYS_AWAY:
            await self.stand_in.control("POST", "expirations", id=self.session_id(redirect))
            return True
        form = {"action": "cancel"}
        if customer in _CARDS:
            card = {"card_number": _CARDS[customer], "holder": "Mia Kern"}
            form = {"action": "pay", "expiry": "12/30", "cvc": "123", **card}
        response = await self.stand_in.http.post(redirect.url or "", data=form)
        assert response.is_redirect, f"the checkout page answered {response.status_code}"
        return True

    async def scripted(self, call: C, script: Script) -> C | None:
        """By the amount's ending, an authorization by its stored card."""
        if self.stand_in is None or exponent(call.currency) != 2:
            return None
        if isinstance(call, Authorize):
            if call.role is not Role.CreditCard or call.initial or script not in _CARDS_BY_SCRIPT:
                return None
            return _copy(call, instrument=await self._card(_CARDS_BY_SCRIPT[script]))
        if not isinstance(call, Charge | Capture | Refund):
            return None
        if isinstance(call, Refund) and script is Script.CHARGED_BACK:
            return None
        if call.role is not Role.CreditCard and script is Script.EXPIRED_CARD:
            return None
        # One less, so that the amount stays within what was held or paid.
        return _copy(call, amount=int(call.amount) - 1 + Decimal(_ENDINGS[script]))

    async def booked(self, reference: str) -> Sequence[Booking] | None:
        """The sandbox PSP's ledger."""
        if self.stand_in is None:
            return None
        ledger = await self.stand_in.control("GET", "ledger", reference=reference)
        return [
            Booking(Movement(entry["kind"]), entry["amount"], entry["currency"])
            for entry in ledger["entries"]
        ]

    async def deliveries(self) -> Sequence[Delivery] | None:
        """What the sandbox PSP's webhook sender has posted."""
        return None if self.stand_in is None else tuple(self.stand_in.receiver.inbox[self.inbox])


def _copy(call: C, **changes: Any) -> C:
    return call.model_copy(update=changes)


def factory(bench: type[EmulatorHarness]) -> HarnessFactory:
    """The function that opens a bench of this kind."""

    @asynccontextmanager
    async def opened(live: Mapping[str, str] | None) -> AsyncIterator[Harness]:
        if live is not None:
            yield bench(None, live)
            return
        async with running_sandbox() as running:
            made = bench(running)
            await made.register()
            yield made

    return opened


@asynccontextmanager
async def running_sandbox() -> AsyncIterator[RunningSandbox]:
    """A sandbox PSP process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        (port,) = find_free("127.0.0.1", 1)
        process = _start(Path(folder), port)
        try:
            url = f"http://127.0.0.1:{port}"
            async with (
                httpx.AsyncClient(timeout=10, trust_env=False) as http,
                receiving() as receiver,
            ):
                await _until_healthy(http, url, process, Path(folder))
                yield RunningSandbox(url, http, receiver)
        finally:
            process.terminate()
            process.wait(10)


def _start(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    environment = {
        **os.environ,
        "INTEGRATOR_SANDBOX_PORT": str(port),
        "INTEGRATOR_DATA_DIR": str(folder),
        "SANDBOX_SETTLE_SECONDS": str(SETTLE_SECONDS),
    }
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "devtools.sandbox_psp"],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


async def _until_healthy(
    http: httpx.AsyncClient, url: str, process: "subprocess.Popen[bytes]", folder: Path
) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if (await http.get(f"{url}/healthz")).is_success:
                return
        except httpx.TransportError:
            await asyncio.sleep(0.05)
    raise RuntimeError(f"The sandbox PSP did not start:\n{(folder / 'log').read_text()[-2000:]}")
