"""Search attributes of transactions' workflows: what the Temporal UI filters and counts by.

They use eight of the ten keywords that a namespace on an SQL database has, one of three integers
and one of three booleans. None is personal: search attributes are stored in plain text.

The first values are set when a workflow is started, which costs no event; the workflow then keeps
them current. A workflow started without attributes never upserts any, so histories from before
they existed stay as they were. A workflow started with them upserts them, so a worker from before
they existed must not run it: at the first deployment register the attributes, then replace all
workers, then the API.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    SearchAttributeUpdate,
    TypedSearchAttributes,
)

from integrator.contract import money
from integrator.contract.enums import PaymentTransactionStatus
from workflows.messages import AnyInput, kind_of
from workflows.state import TransactionState
from workflows.text_limits import fit_keyword

MERCHANT = SearchAttributeKey.for_keyword("Merchant")
TRANSACTION_KIND = SearchAttributeKey.for_keyword("TransactionKind")
TRANSACTION_ID = SearchAttributeKey.for_keyword("TransactionId")
AGREEMENT_ID = SearchAttributeKey.for_keyword("AgreementId")
PSP_TRANSACTION_ID = SearchAttributeKey.for_keyword("PspTransactionId")
TRANSACTION_STATUS = SearchAttributeKey.for_keyword("TransactionStatus")
CURRENCY = SearchAttributeKey.for_keyword("Currency")
WEBHOOK_STATE = SearchAttributeKey.for_keyword("WebhookState")
AMOUNT_MINOR = SearchAttributeKey.for_int("AmountMinor")
NEEDS_ATTENTION = SearchAttributeKey.for_bool("NeedsAttention")

KEYS: tuple[SearchAttributeKey[Any], ...] = (
    *(MERCHANT, TRANSACTION_KIND, TRANSACTION_ID, AGREEMENT_ID, PSP_TRANSACTION_ID),
    *(TRANSACTION_STATUS, CURRENCY, WEBHOOK_STATE, AMOUNT_MINOR, NEEDS_ATTENTION),
)

Values = Mapping[SearchAttributeKey[Any], str | int | bool]


class WebhookState(StrEnum):
    """Status of a transaction's change notifications, for searching."""

    NONE = "none"  # nothing to announce yet
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"  # given up; waits for `redeliver` or the next change


def previous_webhook_state(values: Values | None) -> WebhookState:
    """Return the webhook state left by an earlier run; a run knows only its own deliveries."""
    left = values.get(WEBHOOK_STATE) if values is not None else None
    return next((known for known in WebhookState if known == left), WebhookState.NONE)


def attribute_values(
    start: AnyInput, state: TransactionState | None, webhook: WebhookState
) -> Values:
    """Return the attributes of a transaction; `state` is None before its workflow has started."""
    state = state or start.resume
    values: dict[SearchAttributeKey[Any], str | int | bool | None] = {
        MERCHANT: start.merchant_id,
        TRANSACTION_KIND: kind_of(start).value,
        TRANSACTION_ID: start.transaction_id,
        AGREEMENT_ID: start.agreement_id,
        PSP_TRANSACTION_ID: (state.psp_transaction_id or state.psp_session_id) if state else None,
        TRANSACTION_STATUS: (state.status if state else PaymentTransactionStatus.Initiated).name,
        CURRENCY: start.currency,
        WEBHOOK_STATE: webhook.value,
        AMOUNT_MINOR: money.to_minor_units(
            start.requested_amount, start.currency, start.currency_exponent
        ),
        NEEDS_ATTENTION: state is not None and state.attention is not None,
    }
    return {
        key: fit_keyword(value) if isinstance(value, str) else value
        for key, value in values.items()
        if value is not None
    }


def initial_attributes(start: AnyInput) -> TypedSearchAttributes:
    """Return the search attributes to start or reopen a workflow with."""
    values = attribute_values(start, None, WebhookState.NONE)
    return TypedSearchAttributes([SearchAttributePair(key, values[key]) for key in values])


def read_values(attributes: TypedSearchAttributes) -> Values | None:
    """Return the values a run was started with; None if it was started without attributes."""
    values = {key: attributes.get(key) for key in KEYS}
    if values[MERCHANT] is None:
        return None
    return {key: value for key, value in values.items() if value is not None}


def compute_updates(current: Values, target: Values) -> list[SearchAttributeUpdate[Any]]:
    """Return the updates that turn the `current` values into those of `target`."""
    changed = [key.value_set(value) for key, value in target.items() if current.get(key) != value]
    return changed + [key.value_unset() for key in current if key not in target]
