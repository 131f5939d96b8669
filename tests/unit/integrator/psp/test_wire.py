"""Common types of the PSPs' JSON."""

import pytest
from pydantic import ValidationError

from integrator.psp.toolkit.wire import Id, WireModel

EMOJI = "\N{GRINNING FACE}"


class Object(WireModel):
    id: Id


@pytest.mark.parametrize("id", ["ch_1", "x" * 255, EMOJI * 255, "a\nb"])
def test_ids(id: str) -> None:
    assert Object(id=id).id == id


@pytest.mark.parametrize("id", ["", "x" * 256, "ch_\0", "\0"])
def test_ids_that_no_index_can_hold_are_refused(id: str) -> None:
    with pytest.raises(ValidationError):
        Object(id=id)
