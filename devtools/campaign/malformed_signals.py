"""Signals that no program of the product sends: their contents by kind."""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence

from temporalio.api.common.v1 import Payload

from integrator.crypto.keys import KeyRing, generate_key
from integrator.temporal.payload_codec import ENCODING, EncryptingCodec
from workflows.messages import (
    CALLER_DETACHED,
    CLOSE_RESERVATION,
    LOOK_UP,
    NOTIFY,
    RECORD_EXTERNAL_MOVEMENT,
    REDELIVER,
)

SIGNALS = (
    NOTIFY,
    LOOK_UP,
    REDELIVER,
    CALLER_DETACHED,
    CLOSE_RESERVATION,
    RECORD_EXTERNAL_MOVEMENT,
)

_GARBAGE_BYTES = 60


class MalformedSignals:
    """Payloads of malformed signals; `keys` is the ring of the running product."""

    def __init__(self, keys: KeyRing) -> None:
        self._codec = EncryptingCodec(keys)
        foreign_keys = KeyRing.parse(f"never-known:{generate_key()}")
        self._foreign_codec = EncryptingCodec(foreign_keys)

    async def payloads(self, kind: str, rng: random.Random) -> Sequence[Payload]:
        """Return the payloads of a kind in `MALFORMATIONS`."""
        return await MALFORMATIONS[kind](self, rng)

    async def none(self, _: random.Random) -> Sequence[Payload]:
        """Return no argument at all."""
        return []

    async def too_many(self, _: random.Random) -> Sequence[Payload]:
        """Return three encrypted objects."""
        return await self._codec.encode([_json(b'{"by": "x"}')] * 3)

    async def wrong_type(self, rng: random.Random) -> Sequence[Payload]:
        """Return one encrypted value of a type that no signal takes."""
        values = (b"17", b'"text"', b"[[]]", b"null", b'{"notification_id": {"a": []}}', b"1e999")
        return await self._codec.encode([_json(rng.choice(values))])

    async def garbage(self, rng: random.Random) -> Sequence[Payload]:
        """Return bytes that are not JSON, not encrypted."""
        return [_json(rng.randbytes(_GARBAGE_BYTES))]

    async def unknown_encoding(self, rng: random.Random) -> Sequence[Payload]:
        """Return a payload whose encoding no converter knows."""
        data = rng.randbytes(_GARBAGE_BYTES)
        return [Payload(metadata={"encoding": b"binary/unknown"}, data=data)]

    async def unknown_key(self, _: random.Random) -> Sequence[Payload]:
        """Return a payload encrypted with a key that the product never had."""
        return await self._foreign_codec.encode([_json(b"{}")])

    async def truncated(self, rng: random.Random) -> Sequence[Payload]:
        """Return an encrypted payload without its end."""
        (whole,) = await self._codec.encode([_json(b"{}")])
        end = rng.randrange(len(whole.data))
        return [Payload(metadata={"encoding": ENCODING}, data=whole.data[:end])]


def _json(data: bytes) -> Payload:
    return Payload(metadata={"encoding": b"json/plain"}, data=data)


MALFORMATIONS: Mapping[
    str, Callable[[MalformedSignals, random.Random], Awaitable[Sequence[Payload]]]
] = {
    "no argument": MalformedSignals.none,
    "too many arguments": MalformedSignals.too_many,
    "wrong type": MalformedSignals.wrong_type,
    "garbage": MalformedSignals.garbage,
    "unknown encoding": MalformedSignals.unknown_encoding,
    "unknown key": MalformedSignals.unknown_key,
    "truncated": MalformedSignals.truncated,
}
