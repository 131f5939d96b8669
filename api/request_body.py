"""Reading of request bodies, limited in size and time."""

import asyncio
import re
from typing import TypeVar

from starlette.requests import Request

from api.errors import (
    BodyTooLarge,
    MalformedBody,
    RequestRejected,
    RequestTimeout,
    UnsupportedBody,
)
from integrator.contract import InvalidField, WireError, json_codec
from integrator.contract.base import WireModel

MAX_BODY_BYTES = 256 * 1024
BODY_TIMEOUT_SECONDS = 15.0

_JSON_TYPE = re.compile(r"(?:application|text)/json|application/[^\s/;]+\+json", re.IGNORECASE)
_Model = TypeVar("_Model", bound=WireModel)


async def read_model(request: Request, model_type: type[_Model]) -> _Model:
    """Return the body as `model_type`; checks content type, then size, then content."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip()
    if not _JSON_TYPE.fullmatch(content_type):
        raise UnsupportedBody
    raw = await read_raw(request)
    try:
        return json_codec.parse(model_type, raw)
    except WireError as error:
        raise MalformedBody(error.message) from error
    except InvalidField as error:
        raise RequestRejected(error.code, error.message) from error


async def read_raw(request: Request, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """Return the body. Raises `BodyTooLarge` and `RequestTimeout`."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise BodyTooLarge(max_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise BodyTooLarge(max_bytes)
    except TimeoutError:
        raise RequestTimeout from None
    return bytes(body)
