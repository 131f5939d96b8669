"""Which transaction an operator means."""

from integrator.admin.errors import OperatorError
from integrator.store.database import Store
from integrator.store.models import Merchant, TransactionRow


async def the_one(store: Store, name: str, merchant: str | None) -> TransactionRow:
    """The transaction with this id: ours, the PSP's, or the external one.

    Raises `OperatorError` for none and for several.
    """
    found = await store.named(name, merchant)
    # Our own id goes before those that others gave.
    rows = [row for row in found if row.transaction_id == name] or found
    if len(rows) == 1:
        return rows[0]
    if not rows:
        of = f" of merchant {merchant!r}" if merchant else ""
        raise OperatorError(f"There is no transaction {name!r}{of}.")
    merchants = sorted({row.merchant_id for row in rows})
    if len(merchants) > 1:
        raise OperatorError(
            f"Several merchants have one: name it with --merchant {'|'.join(merchants)}."
        )
    ids = ", ".join(f"{row.transaction_id} ({row.kind})" for row in rows)
    raise OperatorError(f"The PSP's id {name!r} is that of several transactions: {ids}.")


async def known_merchant(store: Store, name: str) -> Merchant:
    """The merchant; raises `OperatorError` when there is none such."""
    merchant = await store.merchant(name)
    if merchant is None:
        raise OperatorError(
            f"There is no merchant {name!r}; `integrator merchant list` shows them."
        )
    return merchant
