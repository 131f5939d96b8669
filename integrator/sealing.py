"""Marks that show a workflow which payloads our own processes have encrypted. Pure.

A payload that was encrypted with a key of the key ring is *sealed*: the codec notes the key's id in
the metadata of the decrypted payload. Everything else may come from any holder of Temporal's
address, for example by `temporal activity complete`.
"""

from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.converter import PayloadConverter

SEALED_BY = "sealed-by"
"""Metadata of a decrypted payload: the id of its key."""

KNOWN_SINCE = "key-known-since"
"""Metadata: since when the store knows the key, in microseconds since 1970; absent for always."""

KEY_ID = "key-id"
"""Metadata of an unreadable payload: the id of the key that this process lacks."""

ENCRYPTED = b"binary/encrypted"
UNREADABLE = b"binary/unreadable"
"""Encoding of a payload that could not be decrypted; its data is the reason as text."""

REFUSED = b"binary/refused"
"""Encoding in place of the arguments of a refused message; its data is the reason as text."""

SEALS_REQUIRED = b"binary/seals-required"
"""Encoding that only a converter knows whose codec seals; see `seals_required`."""

MARKS = (SEALED_BY, KNOWN_SINCE, KEY_ID)
MARK_ENCODINGS = (UNREADABLE, REFUSED, SEALS_REQUIRED)

UNSEALED_FAILURE = "UnsealedFailure"
"""Type of an activity's failure that none of our processes reported."""

_QUESTION = Payload(metadata={"encoding": SEALS_REQUIRED})


def seals_required(converter: PayloadConverter) -> bool:
    """Return whether a converter belongs to a codec that seals; the plain ones of tests do not.

    The converter is asked, because the SDK wraps it in one of its own.
    """
    try:
        return converter.from_payloads([_QUESTION]) == [True]
    except KeyError:
        return False


def is_sealed(payload: Payload) -> bool:
    """Return whether our codec has decrypted this payload with a key of its ring."""
    return SEALED_BY in payload.metadata


def is_failure_sealed(failure: Failure) -> bool:
    """Return whether the message and all details of a failure are sealed."""
    details = failure.application_failure_info.details.payloads
    return (
        failure.HasField("encoded_attributes")
        and is_sealed(failure.encoded_attributes)
        and all(map(is_sealed, details))
    )
