"""Generated tables in the documents are up to date."""

import pytest

from tests.tooling.docs.pages import Page, generated, pages
from tests.tooling.docs.tables import PARTS


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_generated_parts_are_up_to_date(page: Page) -> None:
    parts = generated(page)
    assert set(parts) <= set(PARTS)
    assert page.text.count("<!-- generated: ") == len(parts)
    stale = [name for name, text in parts.items() if text != PARTS[name]().strip()]
    assert stale == [], "run: python -m tests.tooling.docs.tables"


def test_every_generated_part_is_used() -> None:
    assert {name for page in pages() for name in generated(page)} == set(PARTS)
