"""The two kinds of validation error of the models, as Pydantic errors.

A *wrong type* (text where an object is needed) means the body could not be parsed; an
*invalid value* (a negative amount) was parsed and refused, with the name of a `PaymentErrorCode`.
"""

from pydantic_core import PydanticCustomError

WRONG_TYPE = "wire_wrong_type"
INVALID_VALUE = "wire_invalid_value"


def wrong_type(message: str) -> PydanticCustomError:
    """Return the error for a JSON type that the member does not accept; no braces in `message`."""
    return PydanticCustomError(WRONG_TYPE, message)  # type: ignore[arg-type, unused-ignore]


def invalid_value(message: str, code: str = "InvalidData", member: str = "") -> PydanticCustomError:
    """Return the error for a value that is not allowed.

    `message` completes the sentence "<member> ..." and has no braces; `code` is the name of a
    `PaymentErrorCode`; `member` is the JSON name when the error is raised for a whole object.
    """
    context = {"code": code, "member": member}
    return PydanticCustomError(INVALID_VALUE, message, context)  # type: ignore[arg-type, unused-ignore]
