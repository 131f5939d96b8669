"""Test the comparison of image tags."""

import pytest

from devtools.outdated.tags import Newer, find_newer


@pytest.mark.parametrize(
    ("tag", "candidates", "newer"),
    [
        ("1.30.9", ["1.30.8", "1.30.9"], Newer(None, None)),
        ("1.30.9", ["1.30.10", "1.30.11", "1.9.99"], Newer("1.30.11", "1.30.11")),
        ("1.30.9", ["1.32.2", "1.30.10", "1.31.5"], Newer("1.30.10", "1.32.2")),
        ("17", ["16", "18", "19", "18.1", "18-alpine"], Newer(None, "19")),
        ("3.13-slim", ["3.14-slim", "3.15", "3.14-alpine"], Newer(None, "3.14-slim")),
        ("v2.53.3", ["v2.53.5", "2.54.0", "v3.5.0"], Newer("v2.53.5", "v3.5.0")),
        ("2.11.9", ["2.12.0-beta.1", "2.12.0-rc1", "latest", "3.0"], Newer(None, None)),
    ],
)
def test_only_newer_tags_of_the_same_form_count(
    tag: str, candidates: list[str], newer: Newer
) -> None:
    assert find_newer(tag, candidates) == newer


def test_a_tag_without_an_order_is_rejected() -> None:
    with pytest.raises(ValueError, match="latest is no version"):
        find_newer("latest", ["1.0"])
