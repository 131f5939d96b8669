"""Driver that calls the integrator as Billwerk+ and the PSP do."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from devtools.bench import instant_psp
from devtools.bench.http import Client, Message, Response, http_server
from devtools.bench.stack import Stack

AMOUNT = "119.00"
PENDING_AMOUNT = "119.05"
PENDING_MINOR = 11905


class UnexpectedResponse(Exception):
    """The API's response was not the expected one; the measurement is invalid."""


class IntegratorDriver:
    """Client of one merchant: sends requests and receives change notifications."""

    def __init__(self, stack: Stack, webhook_url: str) -> None:
        self._stack = stack
        self._webhook_url = webhook_url
        headers = {"Authorization": f"Bearer {stack.token}", "Content-Type": "application/json"}
        self._http = Client("127.0.0.1", stack.settings.api_port, headers)
        self._webhook_arrivals: dict[str, asyncio.Future[float]] = {}
        self.agreement = secrets.token_hex(12)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    async def sign_up(self) -> None:
        """Migrate a customer with a stored card; all payments are charged to it."""
        body = self._common_fields(AMOUNT) | {
            "isInitial": True,
            "agreementId": self.agreement,
            "paymentMeansReference": {"role": "CreditCard"},
            "migrationToken": instant_psp.CARD,
        }
        await self._call("POST", "/api/Preauth", body, "Succeeded")

    async def pay(self) -> str:
        """Charge a payment that succeeds at once; return its id."""
        return await self._pay(AMOUNT, "Succeeded")

    async def pay_pending(self) -> tuple[str, str]:
        """Charge a payment that stays pending; return its id and the PSP's id."""
        id = await self._pay(PENDING_AMOUNT, "Pending")
        body = await self._call("GET", f"/api/Payment/{id}", None, "Pending")
        return id, body["pspTransactionId"]

    async def reserve(self) -> str:
        """Preauthorize an amount on the stored card; return the preauth's id."""
        body = self._common_fields(AMOUNT) | {
            "isInitial": False,
            "agreementId": self.agreement,
            "paymentMeansReference": {"role": "CreditCard"},
        }
        await self._call("POST", "/api/Preauth", body, "Succeeded")
        return str(body["transactionId"])

    async def capture(self, preauth_id: str) -> str:
        """Capture a preauth; return the payment's id."""
        return await self._pay(AMOUNT, "Succeeded", preauthTransactionId=preauth_id)

    async def get_payment(self, id: str) -> None:
        """GET a payment."""
        response = await self._http.call("GET", f"/api/Payment/{id}")
        if response.status != 200:
            raise UnexpectedResponse(f"GET: HTTP {response.status}")

    async def notify(self, id: str, psp_id: str) -> float:
        """Send the PSP's notification of a success; return the ms until the change notification."""
        arrival = self._webhook_arrivals[id] = asyncio.get_running_loop().create_future()
        body, headers = instant_psp.charge_succeeded_event(psp_id, id, PENDING_MINOR)
        began = time.perf_counter()
        response = await self._http.call("POST", self._stack.notification_path, body, headers)
        if response.status != 200:
            raise UnexpectedResponse(f"notification: HTTP {response.status}")
        async with asyncio.timeout(30):
            arrived: float = await arrival
        return (arrived - began) * 1000

    async def receive(self, request: Message) -> Response:
        """Handle a change notification."""
        arrival = self._webhook_arrivals.pop(str(json.loads(request.body)["TransactionId"]), None)
        if arrival is not None:
            arrival.set_result(time.perf_counter())
        return 200, b""

    async def _pay(self, amount: str, status: str, **extra: str) -> str:
        body = self._common_fields(amount) | {
            "agreementId": self.agreement,
            "paymentMeansReference": {"role": "CreditCard"},
            **extra,
        }
        await self._call("POST", "/api/Payment", body, status)
        return str(body["transactionId"])

    async def _call(
        self, method: str, path: str, body: dict[str, Any] | None, status: str
    ) -> dict[str, Any]:
        content = json.dumps(body).encode() if body is not None else b""
        response = await self._http.call(method, path, content)
        result: dict[str, Any] = json.loads(response.body)
        if response.status != 200 or result["status"] != status:
            raise UnexpectedResponse(
                f"{method} {path}: HTTP {response.status}, {result.get('errorCode')}"
            )
        return result

    def _common_fields(self, amount: str) -> dict[str, Any]:
        id = f"20260215-{secrets.token_hex(12)}"
        return {
            "transactionId": id,
            "requestedAmount": amount,
            "currency": "EUR",
            "webhookTarget": self._webhook_url,
            "transactionReferenceText": f"{id} Basic plan",
            "payerData": {
                "firstName": "Mia",
                "lastName": "Kern",
                "emailAddress": "mia.kern@example.org",
                "address": {"postalCode": "60311", "city": "Frankfurt am Main", "country": "DE"},
            },
        }


@asynccontextmanager
async def integrator_driver(stack: Stack) -> AsyncIterator[IntegratorDriver]:
    """Yield a driver that receives change notifications and has an agreement."""
    async with http_server(lambda request: driver.receive(request)) as port:
        driver = IntegratorDriver(stack, f"http://127.0.0.1:{port}/hook")
        try:
            await driver.sign_up()
            yield driver
        finally:
            driver.close()
