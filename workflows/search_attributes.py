"""The search attributes of transactions' workflows: what the Temporal UI filters and counts by.

Eight of the ten keywords that a namespace on an SQL database has, one of three integers and one of
three booleans. None is personal: search attributes are stored in plain text.

Values are given when a workflow is started, which costs no event, and kept current by the workflow
itself. A workflow that was started without any never upserts any: its history stays as it was
before there were attributes. One that was started with them does, so a worker that does not know
attributes yet must not run it: whoever deploys this for the first time registers the attributes,
then replaces all workers, and only then the API.
"""

from collections.abc import Mapping
from decimal import Decimal
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

LONGEST_KEYWORD = 255
"""What a column of PostgreSQL and MySQL takes; a longer one would never become visible."""

Values = Mapping[SearchAttributeKey[Any], str | int | bool]


class WebhookState(StrEnum):
    """Where the change notifications of a transaction stand, for searching."""

    NONE = "none"  # nothing to announce yet
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"  # given up; waits for `redeliver` or the next change


def webhook_before(shown: Values | None) -> WebhookState:
    """What an earlier run has left: a new one knows of no delivery but its own."""
    return WebhookState(str(shown[WEBHOOK_STATE])) if shown is not None else WebhookState.NONE


def values(start: AnyInput, state: TransactionState | None, webhook: WebhookState) -> Values:
    """The attributes of a transaction; `state` None stands for one that has not begun."""
    state = state or start.resume
    found: dict[SearchAttributeKey[Any], str | int | bool | None] = {
        MERCHANT: start.merchant_id,
        TRANSACTION_KIND: kind_of(start).value,
        TRANSACTION_ID: start.transaction_id,
        AGREEMENT_ID: start.agreement_id,
        PSP_TRANSACTION_ID: (state.psp_transaction_id or state.psp_session_id) if state else None,
        TRANSACTION_STATUS: (state.status if state else PaymentTransactionStatus.Initiated).name,
        CURRENCY: start.currency,
        WEBHOOK_STATE: webhook.value,
        AMOUNT_MINOR: minor(start.requested_amount, start.currency),
        NEEDS_ATTENTION: state is not None and state.attention is not None,
    }
    return {
        key: value[:LONGEST_KEYWORD] if isinstance(value, str) else value
        for key, value in found.items()
        if value is not None
    }


def minor(amount: Decimal, currency: str) -> int:
    """`amount` in minor units: 4990 for 49.90 EUR, 500 for 500 JPY."""
    return int(amount.scaleb(money.exponent(currency)))


def at_start(start: AnyInput) -> TypedSearchAttributes:
    """What a workflow is started or reopened with."""
    given = values(start, None, WebhookState.NONE)
    return TypedSearchAttributes([SearchAttributePair(key, given[key]) for key in given])


def shown(given: TypedSearchAttributes) -> Values | None:
    """What a run was begun with; None: without attributes, and then it upserts none."""
    found = {key: given.get(key) for key in KEYS}
    if found[MERCHANT] is None:
        return None
    return {key: value for key, value in found.items() if value is not None}


def updates(now: Values, then: Values) -> list[SearchAttributeUpdate[Any]]:
    """What turns the values `now` shown into those of `then`."""
    changed = [key.value_set(value) for key, value in then.items() if now.get(key) != value]
    return changed + [key.value_unset() for key in now if key not in then]
