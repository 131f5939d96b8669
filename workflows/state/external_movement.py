"""External movements: made without this service, for example in the PSP's dashboard."""

from datetime import date, datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from integrator.contract.money import BoundedAmount
from workflows.state.evidence import Evidence, EvidenceKind


class MovementStatus(StrEnum):
    """Status of an external movement."""

    OPEN = "open"
    BOOKED = "booked"
    FAILED = "failed"


class ExternalMovement(BaseModel):
    """A refund or capture made without this service, on a payment or preauth of ours."""

    # An alias is the field's name in stored histories and snapshots.
    model_config = ConfigDict(
        frozen=True, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    psp_id: str
    amount: BoundedAmount
    currency: str
    status: MovementStatus = Field(alias="standing")
    booked_on: date | None = None

    @property
    def key(self) -> str:
        """Return the key used in place of a transaction id; transaction ids have no colon."""
        return external_movement_key(self.psp_id)

    def evidence(self, at: datetime) -> Evidence:
        """Return the evidence: the PSP's own list of movements, read at `at`."""
        return Evidence(kind=EvidenceKind.READ, source="list of movements", at=at)


def external_movement_key(psp_id: str) -> str:
    """Return the key of an external movement beside the ids of our own transactions."""
    return f"psp:{psp_id}"
