"""The tables in the documents are those of the code."""

import pytest

from tests.docs.pages import Page, generated, pages
from tests.docs.tables import PARTS


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_the_parts_made_from_the_code_are_up_to_date(page: Page) -> None:
    shown = generated(page)
    assert set(shown) <= set(PARTS)
    assert page.text.count("<!-- generated: ") == len(shown)
    stale = [name for name, text in shown.items() if text != PARTS[name]().strip()]
    assert stale == [], "run: python -m tests.docs.tables"


def test_every_part_is_shown_somewhere() -> None:
    assert {name for page in pages() for name in generated(page)} == set(PARTS)
