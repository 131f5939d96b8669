"""Transactions of the guides' merchant `acme` that need an operator, for the guides' commands.

The account at the sandbox PSP delivers no notifications, so pending transactions stay pending until
the first look-up a minute later: long enough for a document's commands.
"""

import asyncio
import secrets
import time

import httpx
from temporalio.client import Client

from integrator.crypto.keys import KeyRing
from integrator.settings import Settings
from integrator.store import Store
from tests.support.billwerk import Billwerk, new_id
from tests.support.stack import Stack
from tests.tooling.docs.shell import Command
from workflows.messages import workflow_id
from workflows.state import TransactionKind

EXAMPLE = "20260215-65ce8a11c2d3e4f506172c02"
"""Undecided payment in the guides' outputs; it needs attention."""

TRANSACTION_PLACEHOLDERS = (EXAMPLE, "PAYMENT", "SIGN_UP", "DEBIT")
"""`PAYMENT` is the same payment, `SIGN_UP` an open checkout, `DEBIT` an undecided payment."""

_IBAN = "DE89370400440532013000"
_TIMEOUT_SECONDS = 20.0


def uses_transaction_ids(commands: list[Command]) -> bool:
    """Return whether a command contains one of the placeholders."""
    return any(
        placeholder in command.text
        for command in commands
        for placeholder in TRANSACTION_PLACEHOLDERS
    )


def create_transactions(stack: Stack, merchant: str) -> dict[str, str]:
    """Create transactions of the existing `merchant`; return their ids by placeholder."""
    values = {"ApiKey": f"sk_{secrets.token_hex(8)}", "WebhookSecret": secrets.token_hex(8)}
    _create_psp_account(stack, values)
    token = asyncio.run(_save_settings(stack, merchant, values))
    with Billwerk(stack.run["api"], token) as billwerk:
        agreement = new_id()
        billwerk.sign_up_debit(agreement, _IBAN)
        sign_up = billwerk.preauth(new_id())
        debits = [billwerk.debit(agreement, "49.90") for _ in range(2)]
        billwerk.post("Preauth", sign_up).raise_for_status()
        for debit in debits:
            billwerk.post("Payment", debit).raise_for_status()
    attention_id, undecided_id = (str(debit["transactionId"]) for debit in debits)
    asyncio.run(_wait_for_attention(stack, merchant, attention_id))
    return {
        EXAMPLE: attention_id,
        "PAYMENT": attention_id,
        "SIGN_UP": sign_up["transactionId"],
        "DEBIT": undecided_id,
    }


def _create_psp_account(stack: Stack, values: dict[str, str]) -> None:
    account = {
        "api_key": values["ApiKey"],
        "webhook_secret": values["WebhookSecret"],
        "webhook_url": "http://127.0.0.1:9/",
    }
    sandbox = f"{stack.run['sandbox_psp']}/_control/accounts"
    httpx.put(sandbox, json=account).raise_for_status()


async def _save_settings(stack: Stack, merchant: str, values: dict[str, str]) -> str:
    """Save the merchant's PSP settings; return a new token."""
    async with _store(stack) as store:
        merchant_row = await store.merchants.get(merchant)
        assert merchant_row is not None
        await store.merchants.save_settings(merchant_row.id, values, f"acc_{merchant}")
        return await store.api_tokens.issue(merchant_row.id, "guides")


async def _wait_for_attention(stack: Stack, merchant: str, id: str) -> None:
    """Cancel the workflow, which then needs attention instead; wait until that is stored."""
    client = await Client.connect(stack.run["temporal"])
    await client.get_workflow_handle(workflow_id(merchant, TransactionKind.PAYMENT, id)).cancel()
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    async with _store(stack) as store:
        while True:
            row = await store.transactions.get(merchant, id)
            if row is not None and row.needs_attention:
                return
            assert time.monotonic() < deadline, f"{id} does not need attention"
            await asyncio.sleep(0.05)


def _store(stack: Stack) -> Store:
    settings = Settings(data_dir=stack.data_dir)
    return Store(settings.resolved_database_url, KeyRing.from_settings(settings))
