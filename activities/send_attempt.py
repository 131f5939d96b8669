"""One attempt to send a money operation, and what the transaction's row proves about earlier ones.

Operators can rewind everything that Temporal knows: the number of an attempt, its times, the run.
The row cannot be rewound. Whether an earlier attempt may have reached the PSP is decided by it.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
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

PROOF_LASTS = timedelta(hours=2)
"""Longer than any pause between two attempts, and than most outages of workers. An older proof may
be that of a store restored from a backup, which lacks a later attempt."""

ASK_AGAIN = timedelta(minutes=10)
"""Pause between two look-ups of a debit of which it is unknown whether it was sent."""


class SendAttempt:
    """Attempt of this activity; `nothing_sent` says that no earlier one can have reached the PSP.

    That is proven by the mark of an earlier attempt, or if there is none by a row that is younger
    than an attempt can last, in the transaction's first run: the first attempt leaves no mark
    before it sends. Every attempt of a debit that waited for its day leaves one, so that a row
    without a mark proves it, too, in any run, until some time after its day.

    `began_at` is when the first attempt began that may have reached the PSP; now if none has.
    `needs_lookup`: whether such an old proof alone permits to send, because the PSP has forgotten
    the key of what a lost row may have recorded. The absence at the PSP proves it, too.
    """

    def __init__(self, store: Store, call: PspCall, row: TransactionRow) -> None:
        self._store = store
        self._row = row
        self._mark = row.send_mark
        waits = row.send_at is not None
        self._is_first = not waits and _is_first_attempt(call, row)
        unmarked = waits and row.send_mark is None
        proven = self._is_first or unmarked or row.send_mark == NOT_SENT
        since, now = row.sending_since or row.send_at or row.created_at, datetime.now(UTC)
        in_doubt = proven and waits and now - since > PROOF_LASTS
        self.nothing_sent = proven and not in_doubt
        self.began_at = now if self.nothing_sent else since
        self.needs_lookup = in_doubt and not self._is_key_remembered()

    def confirm_absence(self) -> None:
        """Take the PSP's proof that it never received the operation."""
        self.needs_lookup, self.nothing_sent = False, True
        self.began_at = datetime.now(UTC)

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
        if self.nothing_sent or self._is_key_remembered():
            return
        if self.needs_lookup:
            raise ApplicationError(
                "The PSP cannot say yet whether it received the debit.",
                False,
                type=PspFailure.UNAVAILABLE,
                next_retry_delay=ASK_AGAIN,
                category=ApplicationErrorCategory.BENIGN,
            )
        raise ApplicationError(
            "An earlier attempt may have reached the PSP, which does not recognise a repetition "
            "(any more).",
            False,
            type=PspFailure.KEY_EXPIRED,
            non_retryable=True,
            category=ApplicationErrorCategory.BENIGN,
        )

    def _is_key_remembered(self) -> bool:
        semantics = registry.get_adapter(self._row.psp).capabilities.idempotency
        window = psp_retry.usable_window(semantics.window_seconds)
        return datetime.now(UTC) < self.began_at + window

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
