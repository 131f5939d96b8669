"""What wire models have in common: the PSP's JSON, strict about money and lax about the rest."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

# Strict, so that neither text nor a fraction passes as money; bounded, so that it stays exact.
Minor = Annotated[int, Field(strict=True, ge=0, le=10**15)]
"""An amount as the PSP writes it: an integer in its smallest units."""

Id = Annotated[str, Field(min_length=1)]
"""A PSP's id of something."""

Currency = Annotated[str, AfterValidator(str.upper)]
"""An ISO 4217 code that the PSP may write in small letters."""


class Wire(BaseModel):
    """Base of everything read from a PSP.

    Members that are not declared are ignored, so that the PSP may add some. `repr` shows nothing
    but the id, and a validation error no value: most objects hold personal data.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return [("id", getattr(self, "id", None))]
