"""Test reading and pinning the file with the images' versions."""

from datetime import date

import pytest

from devtools.outdated.errors import OutdatedError
from devtools.outdated.versions_file import parse, pin

DIGEST = f"sha256:{'0a' * 32}"
TEXT = """# Versions of images.

# checked 2026-11-01
POSTGRES_IMAGE=postgres:17

# checked 2026-11-02
CADDY_IMAGE=caddy:2.11.9
"""


def test_each_entry_has_its_date() -> None:
    postgres, caddy = parse(TEXT)
    assert (postgres.name, postgres.reference, postgres.digest) == (
        "POSTGRES_IMAGE",
        "postgres:17",
        None,
    )
    assert (postgres.checked, caddy.checked) == (date(2026, 11, 1), date(2026, 11, 2))


def test_pinning_adds_digest_and_date_and_replaces_an_older_digest() -> None:
    digests = {"POSTGRES_IMAGE": DIGEST, "CADDY_IMAGE": DIGEST}
    pinned = pin(TEXT, digests, date(2026, 11, 30))
    assert f"# checked 2026-11-30\nPOSTGRES_IMAGE=postgres:17@{DIGEST}\n" in pinned
    assert pinned.startswith("# Versions of images.\n\n")
    assert [entry.digest for entry in parse(pinned)] == [DIGEST, DIGEST]
    other = f"sha256:{'0b' * 32}"
    again = pin(pinned, dict.fromkeys(digests, other), date(2026, 12, 1))
    assert [(entry.tag, entry.digest) for entry in parse(again)] == [
        ("17", other),
        ("2.11.9", other),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("POSTGRES_IMAGE=postgres", "Line 2: write NAME=image:tag"),
        ("POSTGRES_IMAGE=postgres:17@sha256:12", "Line 2: 'sha256:12' is no digest"),
    ],
)
def test_a_wrong_line_is_named(line: str, message: str) -> None:
    with pytest.raises(OutdatedError, match=message):
        parse(f"# checked 2026-11-01\n{line}\n")


def test_an_entry_without_a_date_is_rejected() -> None:
    with pytest.raises(OutdatedError, match="Line 2: add a line `# checked YYYY-MM-DD`"):
        parse("# A comment\nPOSTGRES_IMAGE=postgres:17\n")
