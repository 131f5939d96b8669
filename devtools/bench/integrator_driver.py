"""The integrator as Billwerk+ and the PSP call it."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from devtools.bench import instant_psp
from devtools.bench.http import Answer, Client, Message, serving
from devtools.bench.stack import Stack

AMOUNT = "119.00"
PENDING_AMOUNT = "119.05"
PENDING_MINOR = 11905


class Failed(Exception):
    """The API did not answer as it should: whatever was measured is void."""


class Platform:
    """One merchant's view: calls, and the change webhooks that arrive."""

    def __init__(self, stack: Stack, target: str) -> None:
        self._stack = stack
        self._target = target
        headers = {"Authorization": f"Bearer {stack.token}", "Content-Type": "application/json"}
        self._http = Client("127.0.0.1", stack.settings.api_port, headers)
        self._told: dict[str, asyncio.Future[float]] = {}
        self.agreement = secrets.token_hex(12)

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    async def sign_up(self) -> None:
        """Take a customer with a stored card over; all payments are charged to it."""
        body = self._common(AMOUNT) | {
            "isInitial": True,
            "agreementId": self.agreement,
            "paymentMeansReference": {"role": "CreditCard"},
            "migrationToken": instant_psp.CARD,
        }
        await self._call("POST", "/api/Preauth", body, "Succeeded")

    async def pay(self) -> str:
        """A payment that succeeds at once; returns its id."""
        return await self._pay(AMOUNT, "Succeeded")

    async def pay_later(self) -> tuple[str, str]:
        """A payment that stays pending; its id and the PSP's id."""
        id = await self._pay(PENDING_AMOUNT, "Pending")
        body = await self._call("GET", f"/api/Payment/{id}", None, "Pending")
        return id, body["pspTransactionId"]

    async def reserve(self) -> str:
        """A preauth of money on the stored card; returns its id."""
        body = self._common(AMOUNT) | {
            "isInitial": False,
            "agreementId": self.agreement,
            "paymentMeansReference": {"role": "CreditCard"},
        }
        await self._call("POST", "/api/Preauth", body, "Succeeded")
        return str(body["transactionId"])

    async def capture(self, preauth_id: str) -> str:
        """The payment that takes a preauth's money; returns its id."""
        return await self._pay(AMOUNT, "Succeeded", preauthTransactionId=preauth_id)

    async def read(self, id: str) -> None:
        """GET a payment."""
        answer = await self._http.call("GET", f"/api/Payment/{id}")
        if answer.status != 200:
            raise Failed(f"GET: HTTP {answer.status}")

    async def notify(self, id: str, psp_id: str) -> float:
        """Tell that a pending payment has succeeded; ms until our change webhook arrived."""
        told = self._told[id] = asyncio.get_running_loop().create_future()
        body, headers = instant_psp.settled(psp_id, id, PENDING_MINOR)
        began = time.perf_counter()
        answer = await self._http.call("POST", self._stack.notification_path, body, headers)
        if answer.status != 200:
            raise Failed(f"notification: HTTP {answer.status}")
        async with asyncio.timeout(30):
            arrived: float = await told
        return (arrived - began) * 1000

    async def receive(self, request: Message) -> Answer:
        """A change webhook."""
        told = self._told.pop(str(json.loads(request.body)["TransactionId"]), None)
        if told is not None:
            told.set_result(time.perf_counter())
        return 200, b""

    async def _pay(self, amount: str, status: str, **more: str) -> str:
        body = self._common(amount) | {
            "agreementId": self.agreement,
            "paymentMeansReference": {"role": "CreditCard"},
            **more,
        }
        await self._call("POST", "/api/Payment", body, status)
        return str(body["transactionId"])

    async def _call(
        self, method: str, path: str, body: dict[str, Any] | None, status: str
    ) -> dict[str, Any]:
        raw = json.dumps(body).encode() if body is not None else b""
        answer = await self._http.call(method, path, raw)
        said: dict[str, Any] = json.loads(answer.body)
        if answer.status != 200 or said["status"] != status:
            raise Failed(f"{method} {path}: HTTP {answer.status}, {said.get('errorCode')}")
        return said

    def _common(self, amount: str) -> dict[str, Any]:
        id = f"20260215-{secrets.token_hex(12)}"
        return {
            "transactionId": id,
            "requestedAmount": amount,
            "currency": "EUR",
            "webhookTarget": self._target,
            "transactionReferenceText": f"{id} Basic plan",
            "payerData": {
                "firstName": "Mia",
                "lastName": "Kern",
                "emailAddress": "mia.kern@example.org",
                "address": {"postalCode": "60311", "city": "Frankfurt am Main", "country": "DE"},
            },
        }


@asynccontextmanager
async def platform(stack: Stack) -> AsyncIterator[Platform]:
    """A platform that receives webhooks and has an agreement."""
    async with serving(lambda request: here.receive(request)) as port:
        here = Platform(stack, f"http://127.0.0.1:{port}/hook")
        try:
            await here.sign_up()
            yield here
        finally:
            here.close()
