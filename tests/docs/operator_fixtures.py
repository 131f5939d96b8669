"""What waits for the operator of the guides' merchant `acme`: the ids in the guides' commands.

Its sandbox account sends its notifications nowhere, so what is pending stays so until the first
look-up a minute later: long enough for a document's commands.
"""

import asyncio
import secrets
import time

import httpx
from temporalio.client import Client

from integrator.crypto.keys import KeyRing
from integrator.settings import Settings
from integrator.store import Store
from tests.docs.shell import Command
from tests.support.billwerk import Billwerk, new_id
from tests.support.stack import Stack
from workflows.messages import workflow_id
from workflows.state import TransactionKind

EXAMPLE = "20260215-65ce8a11c2d3e4f506172c02"
"""The undecided payment that the guides' outputs show; it asks for attention."""

WORDS = (EXAMPLE, "PAYMENT", "SIGN_UP", "DEBIT")
"""`PAYMENT` is the same one, `SIGN_UP` a checkout page nobody has paid at, `DEBIT` undecided."""

_IBAN = "DE89370400440532013000"
_SECONDS = 20.0


def is_needed(commands: list[Command]) -> bool:
    """Whether one of the ids is in them."""
    return any(word in command.text for command in commands for word in WORDS)


def prepared(stack: Stack, merchant: str) -> dict[str, str]:
    """The words and the ids of transactions made just now; `merchant` is there already."""
    values = {"ApiKey": f"sk_{secrets.token_hex(8)}", "WebhookSecret": secrets.token_hex(8)}
    _open_account(stack, values)
    token = asyncio.run(_with_settings(stack, merchant, values))
    with Billwerk(stack.run["api"], token) as billwerk:
        agreement = new_id()
        billwerk.sign_up_debit(agreement, _IBAN)
        sign_up = billwerk.preauth(new_id())
        debits = [billwerk.debit(agreement, "49.90") for _ in range(2)]
        billwerk.post("Preauth", sign_up).raise_for_status()
        for debit in debits:
            billwerk.post("Payment", debit).raise_for_status()
    asks, undecided = (str(debit["transactionId"]) for debit in debits)
    asyncio.run(_ask_for_attention(stack, merchant, asks))
    return {EXAMPLE: asks, "PAYMENT": asks, "SIGN_UP": sign_up["transactionId"], "DEBIT": undecided}


def _open_account(stack: Stack, values: dict[str, str]) -> None:
    account = {
        "api_key": values["ApiKey"],
        "webhook_secret": values["WebhookSecret"],
        "webhook_url": "http://127.0.0.1:9/",
    }
    sandbox = f"{stack.run['sandbox_psp']}/_control/accounts"
    httpx.put(sandbox, json=account).raise_for_status()


async def _with_settings(stack: Stack, merchant: str, values: dict[str, str]) -> str:
    """Of the merchant; returns a token."""
    async with _store(stack) as store:
        found = await store.merchant(merchant)
        assert found is not None
        await store.save_settings(found.id, values, f"acc_{merchant}")
        return await store.issue_token(found.id, "guides")


async def _ask_for_attention(stack: Stack, merchant: str, id: str) -> None:
    """A workflow ignores that it is to be cancelled, and asks for a person."""
    client = await Client.connect(stack.run["temporal"])
    await client.get_workflow_handle(workflow_id(merchant, TransactionKind.PAYMENT, id)).cancel()
    deadline = time.monotonic() + _SECONDS
    async with _store(stack) as store:
        while True:
            row = await store.transaction(merchant, id)
            if row is not None and row.needs_attention:
                return
            assert time.monotonic() < deadline, f"{id} does not ask for attention"
            await asyncio.sleep(0.05)


def _store(stack: Stack) -> Store:
    settings = Settings(data_dir=stack.data_dir)
    return Store(settings.resolved_database_url, KeyRing.from_settings(settings))
