"""Base of the models of a PSP's JSON: strict about money, lenient about everything else."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

# Strict, so that neither text nor a fraction is accepted; bounded, so that it stays exact.
MinorAmount = Annotated[int, Field(strict=True, ge=0, le=10**15)]
"""Amount in the PSP's JSON: an integer in its smallest units."""

Id = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
"""Id of an object at the PSP.

PostgreSQL indexes at most 2,704 bytes, which 255 characters never reach, and stores no NUL.
"""

Currency = Annotated[str, AfterValidator(str.upper)]
"""ISO 4217 code, which the PSP may write in lower case."""


class WireModel(BaseModel):
    """Base class of the models of a PSP's JSON.

    Undeclared members are ignored, so that the PSP may add some. `repr` shows only the id and
    validation errors show no values, since most objects hold personal data.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return [("id", getattr(self, "id", None))]
