"""Base of the models of a PSP's JSON: strict about money, lenient about everything else."""

import json
import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

# No database stores NUL, and no encoding of UTF-8 holds half of a surrogate pair.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

# Strict, so that neither text nor a fraction is accepted; bounded, so that it stays exact.
MinorAmount = Annotated[int, Field(strict=True, ge=0, le=10**15)]
"""Amount in the PSP's JSON: an integer in its smallest units."""

Id = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
"""Id of an object at the PSP.

PostgreSQL indexes at most 2,704 bytes, which 255 characters never reach, and stores no NUL.
"""

Currency = Annotated[str, AfterValidator(str.upper)]
"""ISO 4217 code, which the PSP may write in lower case."""


def _read_or_none(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


BOOKKEEPING = WrapValidator(_read_or_none)
"""Annotation of an optional member without which the money can be read: None if unreadable."""


def read_json_object(body: bytes) -> dict[str, Any] | None:
    """Return the members of a JSON object; None for anything else.

    Characters that cannot be stored are replaced, so that no odd text makes an object unreadable.
    """
    try:
        content = json.loads(body, object_pairs_hook=_read_members)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _read_members(members: list[tuple[str, Any]]) -> dict[str, Any]:
    return {_replace_unstorable(name): _replace_unstorable(value) for name, value in members}


def _replace_unstorable(value: Any) -> Any:
    if isinstance(value, list):
        return [_replace_unstorable(item) for item in value]
    return _UNSTORABLE.sub("\ufffd", value) if isinstance(value, str) else value


class WireModel(BaseModel):
    """Base class of the models of a PSP's JSON.

    Undeclared members are ignored, so that the PSP may add some; a null member that has a default
    counts as absent. `repr` shows only the id and validation errors show no values, since most
    objects hold personal data.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_null_members(cls, values: Any) -> Any:
        """PSPs send null where their documentation shows an object, a list or a number."""
        if not isinstance(values, dict) or None not in values.values():
            return values
        required = {
            field.validation_alias if isinstance(field.validation_alias, str) else name
            for name, field in cls.model_fields.items()
            if field.is_required()
        }
        return {
            name: value for name, value in values.items() if value is not None or name in required
        }

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return [("id", getattr(self, "id", None))]
