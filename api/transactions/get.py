"""Handle GET of a preauth, payment or refund."""

from starlette.responses import Response

from api.context import Context
from api.errors import NotFound
from api.transactions.responses import build_response
from integrator.store import RequestedTransaction
from workflows.state import TransactionKind


async def get_transaction(
    context: Context, requested: RequestedTransaction | None, kind: TransactionKind
) -> Response:
    """Return the transaction's current state.

    Raises `NotFound` for a malformed id, another kind, or another merchant's transaction.
    """
    if requested is None or requested.transaction.kind != kind.value:
        raise NotFound(f"No {kind.value} with this id.")
    reading = await context.state_reader.read(requested.transaction)
    if kind is TransactionKind.PREAUTH:  # its outcome may have changed the agreement
        return build_response(reading, await context.state_reader.read_instrument(reading))
    return build_response(reading, requested.instrument)
