"""Movements that somebody made without us, at the PSP's own dashboard."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from workflows.state.evidence import Evidence, EvidenceKind


class MovementStatus(StrEnum):
    """What has become of a movement that was made without us."""

    OPEN = "open"
    BOOKED = "booked"
    FAILED = "failed"


class ExternalMovement(BaseModel):
    """A movement somebody made without us, at the PSP's own dashboard, on something of ours."""

    # An alias is the field's name in stored histories and snapshots.
    model_config = ConfigDict(
        frozen=True, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    psp_id: str
    amount: Decimal
    currency: str
    status: MovementStatus = Field(alias="standing")
    booked_on: date | None = None

    @property
    def by(self) -> str:
        """Stands where the id of a transaction of ours would; no such id has a colon."""
        return adopted_by(self.psp_id)

    def evidence(self, at: datetime) -> Evidence:
        """Adoptions come from the PSP's own list of movements."""
        return Evidence(kind=EvidenceKind.READ, source="list of movements", at=at)


def adopted_by(psp_id: str) -> str:
    """The key of an adopted movement among those of our own transactions."""
    return f"psp:{psp_id}"
