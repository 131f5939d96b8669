"""The texts in an adapter's requests of every format: query, form and JSON."""

import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl

import httpx


def sent_texts(requests: Iterable[httpx.Request]) -> Iterator[tuple[str, str]]:
    """Yield name and text of every parameter; numbers as text, nested names with dots."""
    for request in requests:
        yield from parse_qsl(request.url.query.decode(), keep_blank_values=True)
        content = request.content.decode()
        try:
            body = json.loads(content)
        except ValueError:
            yield from parse_qsl(content, keep_blank_values=True)
            continue
        yield from _leaves("", body)


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _leaves(f"{name}.{key}" if name else key, member)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(name, item)
    elif value is not None:
        yield name, str(value)
