"""Common types of the PSPs' JSON."""

from datetime import date
from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

from integrator.psp.toolkit.instruments import drop_empty
from integrator.psp.toolkit.redaction import append_reference, truncate
from integrator.psp.toolkit.wire import (
    BOOKKEEPING,
    Id,
    MinorAmount,
    WireModel,
    read_json_object,
)

EMOJI = "\N{GRINNING FACE}"


class Object(WireModel):
    id: Id


class Part(WireModel):
    text: str = "none"


class Movement(WireModel):
    amount: MinorAmount
    owner: str | None
    fee: Annotated[MinorAmount | None, BOOKKEEPING] = None
    booked_on: Annotated[date | None, BOOKKEEPING] = None
    label: Annotated[str | None, BOOKKEEPING] = Field(None, alias="description")
    part: Part = Part()
    lines: list[Part] = Field(default=[])


@pytest.mark.parametrize("id", ["ch_1", "x" * 255, EMOJI * 255, "a\nb"])
def test_ids(id: str) -> None:
    assert Object(id=id).id == id


@pytest.mark.parametrize("id", ["", "x" * 256, "ch_\0", "\0"])
def test_ids_that_no_index_can_hold_are_refused(id: str) -> None:
    with pytest.raises(ValidationError):
        Object(id=id)


@pytest.mark.parametrize("name", ["part", "lines", "fee", "booked_on", "description"])
def test_a_null_member_that_may_be_missing_is_absent(name: str) -> None:
    absent = Movement.model_validate({"amount": 1, "owner": "x"})
    assert Movement.model_validate({"amount": 1, "owner": "x", name: None}) == absent


def test_a_null_member_that_is_required_is_kept() -> None:
    assert Movement.model_validate({"amount": 1, "owner": None}).owner is None
    with pytest.raises(ValidationError):
        Movement.model_validate({"amount": None, "owner": "x"})


@pytest.mark.parametrize(
    ("name", "value"),
    [("fee", -2000), ("fee", "free"), ("booked_on", "2026-02-30"), ("description", ["x"])],
)
def test_unreadable_bookkeeping_does_not_make_a_movement_unreadable(name: str, value: Any) -> None:
    read = Movement.model_validate({"amount": 1, "owner": "x", name: value})
    assert (read.amount, read.fee, read.booked_on, read.label) == (1, None, None, None)


@pytest.mark.parametrize("amount", [-1, "1", 1.5, 10**15 + 1])
def test_an_unreadable_amount_does(amount: Any) -> None:
    with pytest.raises(ValidationError):
        Movement.model_validate({"amount": amount, "owner": "x"})


def test_characters_that_cannot_be_stored_are_replaced_in_an_object() -> None:
    body = rb'{"id": "a\ud83d", "part": {"text": "\u0000"}, "emoji": "\ud83d\ude00"}'
    assert read_json_object(body) == {
        "id": "a\ufffd",
        "part": {"text": "\ufffd"},
        "emoji": EMOJI,
    }


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_not_read(body: bytes) -> None:
    assert read_json_object(body) is None


@pytest.mark.parametrize("blank", [None, "", " ", "\n\t"])
def test_blank_texts_are_not_sent(blank: str | None) -> None:
    assert truncate(blank, 10) is None
    assert drop_empty({"name": blank, "city": "Leipzig"}) == {"city": "Leipzig"}
    assert append_reference(blank, "20260115-a", 10) == "[20260115-a]"
