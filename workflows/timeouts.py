"""How long a workflow waits for what, with the reason of each figure."""

from datetime import timedelta

RECONCILE_STEPS = (
    timedelta(minutes=1),  # a lost notification of a slow but synchronous PSP
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=8),
    timedelta(hours=24),  # and then every day, for as long as the transaction is open
)

CHARGEBACK_WINDOW = timedelta(days=400)
"""SEPA refunds of unauthorised debits are possible for 13 months; card schemes stay below that."""

CREDENTIALS_PAUSE = timedelta(seconds=61)
"""Two refusals at least a minute apart are needed before the caller hears LoginError."""

CREATE_GRACE = timedelta(hours=1)
"""A workflow whose caller vanished before asking for the outcome ends with nothing sent."""

EXPIRY_RETRY = timedelta(minutes=5)
"""Clocks differ, and a PSP may be away when a reservation runs out: ask again after this."""

EXPIRY_GRACE = timedelta(hours=1)
"""A PSP that still shows something as open this long after the end it declared has let it lapse."""

UNDECIDED_TOO_LONG = timedelta(days=14)
"""Direct debits settle or fail within two weeks of their day; look-ups go on all the same."""

UNREPEATABLE_WINDOW = timedelta(hours=12)
"""For a PSP that recognises no repetition: how long an outage may last before we stop trying."""

VOID_PATIENCE = timedelta(days=2)
"""A PSP that accepted a void and still holds the money this long after has not carried it out."""

LONGEST_CREDENTIALS_PAUSE = timedelta(hours=1)
"""A PSP that keeps refusing what it says it accepts is not asked every minute for ever."""
