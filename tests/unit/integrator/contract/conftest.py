"""Fixtures of the contract's tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from integrator.contract import json_codec

# Without deadline: a busy machine must not fail the tests.
settings.register_profile("contract", deadline=None)
settings.load_profile("contract")

EXAMPLES = Path(__file__).parent / "examples"


@pytest.fixture
def example() -> Callable[[str], bytes]:
    """Return a function that reads an example of the contract by its name, e.g. `e04_request`."""

    def read(name: str) -> bytes:
        return (EXAMPLES / f"{name}.json").read_bytes()

    return read


@pytest.fixture
def preauth(example: Callable[[str], bytes]) -> dict[str, Any]:
    """Return a valid direct debit preauth request with all nested objects, decoded."""
    body: dict[str, Any] = json_codec.decode(example("e04_request"))
    return body


@pytest.fixture
def payment(example: Callable[[str], bytes]) -> dict[str, Any]:
    """Return a valid recurring direct debit with an invoice, decoded."""
    body: dict[str, Any] = json_codec.decode(example("e10_request"))
    return body


@pytest.fixture
def refund(example: Callable[[str], bytes]) -> dict[str, Any]:
    """Return a valid refund request, decoded."""
    body: dict[str, Any] = json_codec.decode(example("e13_request"))
    return body
