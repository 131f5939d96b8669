"""Find the transaction or merchant named by an operator."""

from integrator.admin.errors import OperatorError
from integrator.store.database import Store
from integrator.store.models import Merchant, TransactionRow


async def find_transaction(store: Store, name: str, merchant: str | None) -> TransactionRow:
    """Find the transaction by its id: ours, the PSP's, or the external one.

    Raises `OperatorError` for none and for several.
    """
    matches = await store.transaction_search.list_by_any_id(name, merchant)
    # Our own id takes precedence over the PSP's and the external one.
    rows = [row for row in matches if row.transaction_id == name] or matches
    if len(rows) == 1:
        return rows[0]
    if not rows:
        scope = f" of merchant {merchant!r}" if merchant else ""
        raise OperatorError(f"Transaction {name!r}{scope} does not exist.")
    merchants = sorted({row.merchant_id for row in rows})
    if len(merchants) > 1:
        raise OperatorError(
            f"Several merchants have it: name one with --merchant {'|'.join(merchants)}."
        )
    ids = ", ".join(f"{row.transaction_id} ({row.kind})" for row in rows)
    raise OperatorError(f"Several transactions have the PSP's id {name!r}; use an own id: {ids}.")


async def find_merchant(store: Store, name: str) -> Merchant:
    """Find the merchant; raises `OperatorError` if it does not exist."""
    merchant = await store.merchants.get(name)
    if merchant is None:
        raise OperatorError(
            f"Merchant {name!r} does not exist; `integrator merchant list` shows all."
        )
    return merchant
