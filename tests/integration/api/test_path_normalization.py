"""Paths in any letter case, with or without prefix."""

import pytest

from api.server.path_normalization import PathNormalization

TEMPLATES = ["/api/Preauth", "/api/Preauth/{transactionId}", "/api/Preauth/Finalize"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/PREAUTH", "/api/Preauth"),
        ("/Api/preauth/", "/api/Preauth"),
        ("/preauth/AbC", "/api/Preauth/AbC"),
        ("/preauth/finalize", "/api/Preauth/Finalize"),
        ("/preauth//", "/preauth//"),
        ("/preauth/a/b", "/preauth/a/b"),
        ("/docs", "/docs"),
        ("/", "/"),
        ("", ""),
    ],
)
def test_paths_are_normalized(path: str, expected: str) -> None:
    async def unreachable(*_: object) -> None:
        raise AssertionError

    assert PathNormalization(unreachable, TEMPLATES).normalize(path) == expected
