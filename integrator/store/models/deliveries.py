"""How the announcement of a change goes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

DeliveryStanding = Literal["delivering", "delivered", "undelivered"]


@dataclass(frozen=True)
class DeliveryRow:
    """The last round of announcing one version of a transaction's state.

    `attempts` counts those of the round that began at `began_at`. `delivered_at` stays from an
    earlier round. `last_status` is the HTTP status of the last answer, None when there was none;
    `last_error` holds neither addresses nor secrets.
    """

    merchant_id: str
    transaction_id: str
    version: int
    state: DeliveryStanding
    attempts: int
    began_at: datetime
    last_attempt_at: datetime
    delivered_at: datetime | None = None
    last_status: int | None = None
    last_error: str | None = None
