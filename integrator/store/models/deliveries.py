"""Progress of the delivery of a change notification."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

DeliveryState = Literal["delivering", "delivered", "undelivered"]


@dataclass(frozen=True)
class DeliveryRow:
    """Last round of delivery of one version of a transaction's state.

    `attempts` counts the attempts of the round that began at `began_at`. `delivered_at` is kept
    from an earlier round. `last_status` is the HTTP status of the last response, None without a
    response; `last_error` contains neither addresses nor secrets.
    """

    merchant_id: str
    transaction_id: str
    version: int
    state: DeliveryState
    attempts: int
    began_at: datetime
    last_attempt_at: datetime
    delivered_at: datetime | None = None
    last_status: int | None = None
    last_error: str | None = None
