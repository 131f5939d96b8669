"""Test credentials that the PSP rejects after an attempt whose outcome is unknown."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.e2e.operations.cases import Kind
from tests.e2e.operations.transactions import Transaction, build
from tests.e2e.operations.world import World, view

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

DECISION_SECONDS = 60.0
REJECTIONS_SECONDS = 20.0
"""Longer than two rejections with the shortened pause between them, after which a call that was
never sent ends as LoginError."""


class Account:
    """The merchant's account at the PSP, whose key can be replaced there and here."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._key = world.stack.demo["api_key"]

    async def rotate(self) -> None:
        """Replace the key at the PSP only: from now on it rejects ours."""
        rotation = {"api_key": self._key, "new_api_key": secrets.token_hex(16)}
        async with httpx.AsyncClient(base_url=self._world.stack.run["sandbox_psp"]) as psp:
            response = await psp.post("/_control/accounts/rotate_key", json=rotation)
        response.raise_for_status()
        self._key = rotation["new_api_key"]

    async def store_key(self) -> None:
        """Save the present key in the merchant's settings, as in Billwerk+'s form."""
        run = self._world.stack.run
        headers = {"Authorization": f"Bearer {self._world.stack.token}"}
        async with httpx.AsyncClient(base_url=run["api"], headers=headers) as api:
            form = (await api.get("/api/Settings")).raise_for_status().json()["merchantSettings"]
            names = [entry["keyName"] for entry in form]
            api_key = next(name for name in names if "key" in name.lower())
            entries = [
                {"keyName": e["keyName"], "keyValue": e["keyValue"]}
                for e in form
                if e["keyName"] != api_key
            ]
            entries.append({"keyName": api_key, "keyValue": self._key})
            (await api.put("/api/Settings", json={"merchantSettings": entries})).raise_for_status()


@pytest.fixture(scope="module")
def account(world: World) -> Account:
    return Account(world)


async def unknown_charge(world: World, when: str) -> tuple[Transaction, list[str]]:
    """Request a charge whose answers are lost; return it with the faults in force."""
    charge = build(world, Kind.CHARGE)
    faults = [
        await world.set_fault(charge.id, "drop", operations=["charge"], when=when, count=10**6),
        await world.set_fault(charge.id, "drop", operations=["fetch"]),
        await world.set_fault(charge.id, "drop_webhook"),
    ]
    response = await world.post(charge.resource, charge.body)
    assert view(response)["status"] == "Pending"
    return charge, faults


async def eventually(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + DECISION_SECONDS
    while not await condition():
        assert time.monotonic() < deadline, f"still waiting for {what}"
        await asyncio.sleep(0.5)


@pytest.fixture(scope="module")
async def charges(world: World, account: Account) -> dict[str, list[str]]:
    """Statuses of two charges, booked and not booked: with rejected credentials, and at the end.

    The key is replaced at the PSP while their outcomes are unknown, and stored here much later.
    """
    booked, unbooked = await unknown_charge(world, "after"), await unknown_charge(world, "before")
    await account.rotate()
    for _, faults in (booked, unbooked):
        for fault in faults:
            await world.clear_fault(fault)
    await asyncio.sleep(REJECTIONS_SECONDS)
    statuses: dict[str, list[str]] = {}
    for name, (charge, _) in {"booked": booked, "not booked": unbooked}.items():
        statuses[name] = [await status(world, charge)]
    await account.store_key()
    for name, (charge, _) in {"booked": booked, "not booked": unbooked}.items():

        async def is_decided(charge: Transaction = charge) -> bool:
            return await status(world, charge) not in ("Initiated", "Pending")

        await eventually(is_decided, f"the outcome of the charge that is {name}")
        statuses[name].append(await status(world, charge))
        statuses[name] += [entry.kind for entry in await world.ledger(charge.id)]
    return statuses


async def status(world: World, charge: Transaction) -> str:
    return str(view(await world.get(charge.resource, charge.id))["status"])


def test_rejected_credentials_after_an_unknown_attempt_decide_nothing(
    charges: dict[str, list[str]],
) -> None:
    assert [statuses[0] for statuses in charges.values()] == ["Pending", "Pending"]


def test_an_unknown_outcome_is_decided_once_the_new_key_is_stored(
    charges: dict[str, list[str]],
) -> None:
    assert charges["booked"][1:] == ["Succeeded", "charge"]


def test_an_unbooked_charge_is_decided_once_the_new_key_is_stored(
    charges: dict[str, list[str]],
) -> None:
    # Sent again with its key, or proven absent: both are right, and agree with the PSP.
    assert charges["not booked"][1:] in (["Succeeded", "charge"], ["Failed"])
