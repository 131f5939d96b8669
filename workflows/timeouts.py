"""Intervals and time limits of the workflows, with the reason of each value."""

from datetime import timedelta

LOOKUP_INTERVALS = (
    timedelta(minutes=1),  # makes up for a lost notification of a slow but synchronous PSP
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=8),
    timedelta(hours=24),  # then every day while the transaction is open
)

CHARGEBACK_WINDOW = timedelta(days=400)
"""SEPA refunds of unauthorised debits are possible for 13 months; card schemes stay below that."""

CREDENTIALS_PAUSE = timedelta(seconds=61)
"""LoginError is returned only after two rejections at least a minute apart."""

CREATE_GRACE = timedelta(hours=1)
"""A workflow whose caller never sends `create` fails after this, with nothing sent."""

ATTEMPT_UNDER_WAY = timedelta(seconds=20)
"""Longer than an attempt of a PSP call may take, whose run was ended or reset."""

EXPIRY_RETRY = timedelta(minutes=5)
"""Clocks differ, and a PSP may be unavailable at an expiry: ask again after this."""

EXPIRY_GRACE = timedelta(hours=1)
"""What the PSP still shows as open this long after its declared expiry is released."""

RELEASE_RETRY = timedelta(hours=8)
"""The PSP is asked again after this to release what it shows after its end and did not release."""

UNDECIDED_LIMIT = timedelta(days=14)
"""Direct debits settle or fail within two weeks of their due date; then it needs attention."""

NON_IDEMPOTENT_RETRY_WINDOW = timedelta(hours=12)
"""Retry limit in an outage of a PSP that does not recognise repetitions."""

VOID_GRACE = timedelta(days=2)
"""A void that the PSP accepted this long ago, with the money still held, was not executed."""

VOID_REPEAT_WINDOW = timedelta(minutes=2)
"""How long a void without a waiting caller is sent before the PSP is asked about it again."""

MAX_TIMER = timedelta(days=36_500)
"""The server cuts a longer timer to 100 years; the timer is then set again."""

MAX_CREDENTIALS_PAUSE = timedelta(hours=1)
"""Limit of the growing pause while the PSP rejects credentials that its check accepts."""
