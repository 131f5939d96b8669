"""One attempt to send a money operation, and what the transaction's row proves about earlier ones.

Operators can rewind everything that Temporal knows: the number of an attempt, its times, the run.
The row cannot be rewound. Whether an earlier attempt may have reached the PSP is decided by it.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.errors import application_error, log_psp_error
from integrator.psp import registry
from integrator.psp.errors import CredentialsRejected, PspError, PspUnavailable
from integrator.store import StoreError
from integrator.store.database import Store
from integrator.store.models import NOT_SENT, UNKNOWN, TransactionRow
from workflows import activity_plans, psp_retry
from workflows.messages import PspCall, PspFailure

log = logging.getLogger(__name__)

WITHOUT_EFFECT = (PspUnavailable, CredentialsRejected)
"""Errors of a request that certainly changed nothing at the PSP."""


class SendAttempt:
    """Attempt of this activity; `nothing_sent` says that no earlier one can have reached the PSP.

    That is proven by the mark of an earlier attempt, or if there is none by a row that is younger
    than an attempt can last, in the transaction's first run: the first attempt leaves no mark
    before it sends. Every attempt of a debit that waited for its day leaves one, so that a row
    without a mark proves it, too, in any run and at any age.

    `began_at` is when the first attempt began that may have reached the PSP; now if none has.
    """

    def __init__(self, store: Store, call: PspCall, row: TransactionRow) -> None:
        self._store = store
        self._row = row
        self._mark = row.send_mark
        waits = row.send_at is not None
        self._is_first = not waits and _is_first_attempt(call, row)
        unmarked = waits and row.send_mark is None
        self.nothing_sent = self._is_first or unmarked or row.send_mark == NOT_SENT
        sent_since = row.sending_since or row.created_at
        self.began_at = datetime.now(UTC) if self.nothing_sent else sent_since

    def require_nothing_sent(self, reason: str) -> None:
        """Raise if an earlier attempt may have reached the PSP: `reason` then ends nothing."""
        if not self.nothing_sent:
            raise ApplicationError(
                f"{reason} An earlier attempt may have reached the PSP.",
                False,
                type=PspFailure.UNKNOWN,
                non_retryable=True,
                category=ApplicationErrorCategory.BENIGN,
            )

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Send the operation in the block; translates PSP errors and leaves a mark.

        Raises `ApplicationError`, also without entering the block: an operation that may have been
        sent is not sent again when the PSP has forgotten its key.
        """
        self._require_key()
        if not self._is_first:
            await self._begin()
        try:
            yield
        except PspError as error:
            log_psp_error(error)
            await self._leave_mark(error)
            # The chain would carry the HTTP library's messages, with addresses, into the history.
            raise application_error(error, nothing_sent=self.nothing_sent) from None

    def _require_key(self) -> None:
        if self.nothing_sent:
            return
        semantics = registry.get_adapter(self._row.psp).capabilities.idempotency
        window = psp_retry.usable_window(semantics.window_seconds)
        if datetime.now(UTC) < self.began_at + window:
            return
        raise ApplicationError(
            "An earlier attempt may have reached the PSP, which does not recognise a repetition "
            "(any more).",
            False,
            type=PspFailure.KEY_EXPIRED,
            non_retryable=True,
            category=ApplicationErrorCategory.BENIGN,
        )

    async def _begin(self) -> None:
        mark = f"sending:{uuid4().hex}"
        if not await self._set_mark(mark, self.began_at if self.nothing_sent else None):
            raise ApplicationError(
                "Another attempt has begun meanwhile.",
                False,
                type=PspFailure.UNAVAILABLE,
                category=ApplicationErrorCategory.BENIGN,
            )
        self._mark = mark

    async def _leave_mark(self, error: PspError) -> None:
        """Leave what is known now; an attempt that has begun meanwhile leaves its own mark."""
        certain = self.nothing_sent and isinstance(error, WITHOUT_EFFECT)
        try:
            await self._set_mark(NOT_SENT if certain else UNKNOWN)
        except StoreError as failure:
            # Without it a later attempt takes the operation for sent.
            log.warning("The mark of an attempt was not stored: %s", type(failure).__name__)

    async def _set_mark(self, mark: str, sending_since: datetime | None = None) -> bool:
        return await self._store.transactions.set_send_mark(
            self._row.merchant_id,
            self._row.transaction_id,
            mark,
            expected=self._mark,
            sending_since=sending_since,
        )


def _is_first_attempt(call: PspCall, row: TransactionRow) -> bool:
    age = datetime.now(UTC) - row.created_at
    if row.send_mark is not None or age >= activity_plans.PSP_ATTEMPT_TIMEOUT:
        return False
    # A run that was reset has another id, and an attempt of the earlier run may be under way.
    return not activity.in_activity() or activity.info().workflow_run_id == call.first_run_id
