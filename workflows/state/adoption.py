"""Movements that somebody made without us, at the PSP's own dashboard."""

from datetime import date
from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Standing(StrEnum):
    """What has become of a movement that was made without us."""

    OPEN = "open"
    BOOKED = "booked"
    FAILED = "failed"


class Adoption(BaseModel):
    """A movement somebody made without us, at the PSP's own dashboard, on something of ours."""

    model_config = ConfigDict(frozen=True)

    psp_id: str
    amount: Decimal
    currency: str
    standing: Standing
    booked_on: date | None = None

    @property
    def by(self) -> str:
        """Stands where the id of a transaction of ours would; no such id has a colon."""
        return adopted_by(self.psp_id)


def adopted_by(psp_id: str) -> str:
    """The key of an adopted movement among those of our own transactions."""
    return f"psp:{psp_id}"
