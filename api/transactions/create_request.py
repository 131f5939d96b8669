"""The request to create a transaction."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

from api.context import Context
from integrator.contract import PaymentRequest, PreauthRequest, RefundRequest
from integrator.observability import log_setup
from integrator.psp.port import Adapter
from integrator.store import Merchant, RequestLookup
from workflows.state import TransactionKind

RequestBody = PreauthRequest | PaymentRequest | RefundRequest
IsDisconnected = Callable[[], Awaitable[bool]]

_KINDS: dict[type[RequestBody], TransactionKind] = {
    PreauthRequest: TransactionKind.PREAUTH,
    PaymentRequest: TransactionKind.PAYMENT,
    RefundRequest: TransactionKind.REFUND,
}


@dataclass(frozen=True)
class CreateRequest:
    """A POST of a preauth, payment or refund, with all that creating its transaction needs.

    `lookup` is what the store held about it on arrival: a repeat's transaction, or else the data
    that a new one is validated against.
    """

    context: Context = field(repr=False)
    merchant: Merchant
    adapter: Adapter = field(repr=False)
    body: RequestBody = field(repr=False)
    lookup: RequestLookup = field(repr=False)
    is_disconnected: IsDisconnected = field(repr=False)

    @classmethod
    async def load(
        cls,
        context: Context,
        merchant: Merchant,
        adapter: Adapter,
        body: RequestBody,
        is_disconnected: IsDisconnected,
    ) -> Self:
        """Build the request from its body, with one read of the store."""
        log_setup.bind(transaction_id=body.transaction_id)
        agreement_id = None if isinstance(body, RefundRequest) else body.agreement_id
        lookup = await context.store.transactions.look_up_request(
            merchant.id, body.transaction_id, agreement_id
        )
        return cls(context, merchant, adapter, body, lookup, is_disconnected)

    @property
    def kind(self) -> TransactionKind:
        """The kind of transaction to create."""
        return _KINDS[type(self.body)]
