"""What an adapter's outcome becomes before a workflow gets it: checked, private data stored."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import TypeAdapter

from activities.fact_checks import CheckedOutcome, Owner, check_facts
from integrator.psp import registry
from integrator.psp.types import Approved, Instrument, Lookup, Outcome, RedirectRequired, Succession
from integrator.store.database import Store
from integrator.store.models import TransactionRow
from integrator.transactions.workflow_inputs import read_state

_OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)


class OutcomeIntake:
    """Takes outcomes in for the transactions in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def accept(self, row: TransactionRow, outcome: Outcome) -> CheckedOutcome:
        """Check an outcome that says a part of what the PSP knows, and store its private data.

        A PSP that cannot be asked for the rest has said everything.
        """
        checked = await self._check(row, outcome, _references(row))
        if not registry.get_adapter(row.psp).capabilities.can_read:
            checked = _complete(checked)
        return await self._without_private_data(row, checked)

    async def accept_read(
        self, row: TransactionRow, outcome: Outcome, lookup: Lookup
    ) -> CheckedOutcome:
        """Do the same for the answer to a look-up, which says everything.

        An object made outside this service has another reference than ours.
        """
        references = _references(row) | {lookup.reference}
        checked = _complete(await self._check(row, outcome, references))
        checked = replace(checked, doubts=(*checked.doubts, *checked.vanished))
        return await self._without_private_data(row, checked)

    async def _check(
        self, row: TransactionRow, outcome: Outcome, references: frozenset[str]
    ) -> CheckedOutcome:
        # An adapter may have changed a value without validation.
        outcome = _OUTCOME.validate_python(outcome.model_dump())
        facts = () if isinstance(outcome, RedirectRequired) else outcome.facts
        if not facts:
            return CheckedOutcome(outcome)
        names_parent = any(fact.parent_psp_id is not None for fact in facts)
        parents = await self._parents(row) if names_parent else frozenset()
        owner = Owner(read_state(row.kind, row.snapshot), references, parents)
        return check_facts(outcome, owner)

    async def _parents(self, row: TransactionRow) -> frozenset[str]:
        """Return the PSP's ids of the refunded payment, or of the captured preauth."""
        if row.related_id is None:
            return frozenset()
        parent = await self._store.transactions.get(row.merchant_id, row.related_id)
        if parent is None:
            return frozenset()
        ids = {parent.psp_transaction_id, parent.psp_session_id}
        state = read_state(parent.kind, parent.snapshot)
        return frozenset({id for id in ids if id} | set(state.facts))

    async def _without_private_data(
        self, row: TransactionRow, checked: CheckedOutcome
    ) -> CheckedOutcome:
        """Store payment data and redirect addresses and strip them from the outcome.

        What has captured a reservation is not part of its outcome for its workflow.
        """
        outcome = checked.outcome
        if isinstance(outcome, Approved) and outcome.capture is not None:
            outcome = outcome.model_copy(update={"capture": None})
        key = (row.merchant_id, row.transaction_id)
        match outcome:
            case Approved(instrument=Instrument() as instrument):
                await self._store.transactions.save_private(
                    *key, instrument=instrument.model_dump()
                )
                outcome = outcome.model_copy(update={"instrument": None})
            case RedirectRequired():
                if outcome.url is not None:
                    redirect = {"url": outcome.url, "data": outcome.data}
                    await self._store.transactions.save_private(*key, redirect=redirect)
                outcome = outcome.model_copy(update={"url": None, "data": None})
        if not isinstance(outcome, RedirectRequired) and outcome.succession is not None:
            renewal = partial(renew_instrument, outcome.succession)
            await self._store.instruments.renew(*key, renewal)
            public = outcome.succession.model_copy(update={"token": {}, "bearer": {}})
            outcome = outcome.model_copy(update={"succession": public})
        return replace(checked, outcome=outcome)


def _references(row: TransactionRow) -> frozenset[str]:
    """Return what a movement may carry: at some PSPs a capture's is its reservation's reference."""
    own = frozenset({row.transaction_id})
    if row.kind == "payment" and row.related_id is not None:
        return own | {row.related_id}
    return own


def _complete(checked: CheckedOutcome) -> CheckedOutcome:
    """Return the outcome of a PSP that has nothing to add: what is open is in doubt."""
    return replace(checked, doubts=(*checked.doubts, *checked.incomplete))


def renew_instrument(
    succession: Succession, stored: Mapping[str, Any]
) -> dict[str, dict[str, str]] | None:
    """Return the stored instrument under its new id; None if it does not hold the former one."""
    if succession.former_id not in stored["token"].values():
        return None
    return {
        "token": _replace(stored["token"], succession) | succession.token,
        "bearer": _replace(stored["bearer"], succession) | succession.bearer,
    }


def _replace(members: Mapping[str, str], succession: Succession) -> dict[str, str]:
    return {
        name: succession.new_id if value == succession.former_id else value
        for name, value in members.items()
    }
