"""Parsing of JSON text: accepted and refused bodies, in linear time."""

import contextlib
import json
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example as with_example
from hypothesis import given
from hypothesis import strategies as st

from integrator.contract.errors import WireError
from integrator.contract.fields import ExponentNumber
from integrator.contract.json_codec import decode


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('{"a": 1.50}', {"a": Decimal("1.50")}),
        ("\ufeff[1]", [1]),
        (' \t\r\n{"a":null}\n', {"a": None}),
        ('{"a": 1, "a": 2}', {"a": 2}),
        ('{"a": 1,}', {"a": 1}),
        ('{"a": [1, 2 ,\n ] , }', {"a": [1, 2]}),
        ('{"a": {"b": [[],],},}', {"a": {"b": [[]]}}),
        ('{"a": ",}",}', {"a": ",}"}),
        ('{"a": "\\",]",}', {"a": '",]'}),
        ('{"a": "\\\\",}', {"a": "\\"}),
        ('["\\ud83d\\ude00"]', ["😀"]),
        ('["\\\\u0000"]', ["\\u0000"]),
        ('["// not a comment", "/* nor */ this",]', ["// not a comment", "/* nor */ this"]),
    ],
)
def test_valid_bodies_are_accepted(text: str, value: object) -> None:
    assert decode(text.encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        '{"a": 1',
        '{"a": 1}}',
        '{"a": 1} {"b": 2}',
        '{"a": 1},',
        ',{"a": 1}',
        "[,]",
        "{,}",
        "[ , ]",
        "[1,,]",
        "[1, ,]",
        "[,1]",
        '{"a":,}',
        '{"a",}',
        '{"a" 1}',
        "{a: 1}",
        "{'a': 1}",
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": -Infinity}',
        '{"a": 01}',
        '{"a": .5}',
        '{"a": 1.}',
        '{"a": +1}',
        '{"a": 0x10}',
        '{"a": ١}',
        '{"a": True}',
        '{"a": undefined}',
        '{"a": 1} // comment',
        '{"a": /* comment */ 1}',
        '{"a": 1, // comment\n}',
        '{"a": "line\nbreak"}',
        '{"a": "\\x41"}',
        '{"a": "\\ud800"}',
        '{"\\uDFFF": 1}',
        '{"a": ["\\u0000"]}',
        '{"a": "unfinished',
        '{"a": "unfinished\\',
        '{"a": ' + "9" * 5000 + "}",
    ],
)
def test_invalid_bodies_are_refused(text: str) -> None:
    with pytest.raises(WireError):
        decode(text.encode())


@pytest.mark.parametrize(
    "body", [b"\xff", b'{"a": "\xe4"}', '{"a": 1}'.encode("utf-16"), b'{"a": "\xed\xa0\x80"}']
)
def test_other_encodings_are_refused(body: bytes) -> None:
    with pytest.raises(WireError, match="UTF-8"):
        decode(body)


def test_messages_contain_the_position_and_never_the_content() -> None:
    with pytest.raises(WireError) as caught:
        decode(b'{\n "iban": DE89370400440532013000}')
    assert "line 2, column 10" in caught.value.message
    assert "DE89" not in caught.value.message
    assert "DE89" not in repr(caught.value)


def test_the_position_is_correct_after_a_trailing_comma() -> None:
    with pytest.raises(WireError, match="line 1, column 13"):
        decode(b'{"a": [1,], !}')


def test_the_message_for_nan() -> None:
    with pytest.raises(WireError, match="NaN"):
        decode(b"[NaN]")


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_depth(opening: str, closing: str) -> None:
    levels = opening.count("[") + opening.count("{")
    fitting = 32 // levels
    decode((opening * fitting + "1" + closing * fitting).encode())
    for count in (fitting + 1, 40, 100_000):
        with pytest.raises(WireError, match="32 levels"):
            decode((opening * count + "1" + closing * count).encode())


def test_depth_ignores_siblings_and_brackets_in_strings() -> None:
    flat = json.dumps([["[" * 50, '"{' * 50]] * 100)
    assert len(decode(flat.encode())) == 100


@pytest.mark.parametrize("unit", ['"\\"', '\\"', "[", ",", "{ ", ", ", '",', "\\", '["', ",]"])
def test_hostile_bodies_take_linear_time(unit: str) -> None:
    body = ("[" + unit * (400_000 // len(unit))).encode()
    start = time.perf_counter()
    with pytest.raises(WireError):
        decode(body)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("literal", ["1e2", "1E2", "1.5e-3", "-1E+400000000"])
def test_numbers_with_an_exponent_are_not_converted(literal: str) -> None:
    [number] = decode(f"[{literal}]".encode())
    assert isinstance(number, ExponentNumber)
    assert number.text == literal


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.text(st.characters(codec="utf-8", exclude_characters="\x00")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc,]}\"\\'"), inner),
    max_leaves=20,
)


def with_trailing_commas(value: object) -> str:
    if isinstance(value, list):
        return "[" + "".join(f"{with_trailing_commas(item)} ,\n" for item in value) + "]"
    if isinstance(value, dict):
        members = (f"{json.dumps(name)}: {with_trailing_commas(value[name])}," for name in value)
        return "{" + "".join(members) + "}"
    return json.dumps(value, ensure_ascii=False)


@given(json_values)
@with_example([",]", {"a": ",}"}])
def test_trailing_commas_change_nothing(value: object) -> None:
    assert decode(with_trailing_commas(value).encode()) == value


@given(st.binary(max_size=200) | st.text('[]{},:"\\0e.-tn \n', max_size=60).map(str.encode))
def test_any_bytes_are_json_or_a_wire_error(body: bytes) -> None:
    with contextlib.suppress(WireError):
        decode(body)


@given(st.lists(st.tuples(st.sampled_from("aAb"), st.integers()), max_size=8))
def test_last_duplicate_wins_and_keeps_its_place(pairs: list[tuple[str, int]]) -> None:
    text = ",".join(f'"{name}":{value}' for name, value in pairs)
    decoded: dict[str, Any] = decode(f"{{{text}}}".encode())
    assert decoded == dict(pairs)
    places = {name: place for place, (name, _) in enumerate(pairs)}
    assert list(decoded) == sorted(decoded, key=places.__getitem__)
