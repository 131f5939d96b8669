"""Addresses in the documents are those that the API or the sandbox PSP serve."""

import re
import warnings
from collections.abc import Iterator
from itertools import product

import pytest
from fastapi import FastAPI
from starlette.routing import Mount

import api.app
import devtools.sandbox_psp.app
from devtools.sandbox_psp.settings import Settings as SandboxSettings
from integrator.settings import Settings
from tests.docs.pages import Page, pages

_ROUTE = re.compile(r"\b(GET|PUT|POST|DELETE) (/[\w/{},.-]+)")
_CHOICE = re.compile(r"\{(\w+(?:,\w+)+)\}")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_addresses_are_served(page: Page, served: set[tuple[str, str]]) -> None:
    shown = [*page.codes, *(block.text for block in page.fenced("mermaid"))]
    named = {route for text in shown for route in _routes(text)}
    assert named - served == set()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """Method and path; of the API's own also those without their prefix, as it takes both."""
    folder = tmp_path_factory.mktemp("served")
    own = set(_of_app(api.app.create_app(Settings(data_dir=folder))))
    theirs = set(_of_app(devtools.sandbox_psp.app.create_app(SandboxSettings())))
    return own | theirs | {(method, path.removeprefix("/api")) for method, path in own}


def _routes(text: str) -> Iterator[tuple[str, str]]:
    for method, path in _ROUTE.findall(text):
        parts = _CHOICE.split(path)
        options = [part.split(",") if place % 2 else [part] for place, part in enumerate(parts)]
        yield from ((method, _template("".join(one))) for one in product(*options))


def _of_app(app: FastAPI, under: str = "") -> Iterator[tuple[str, str]]:
    for mount in app.routes:
        if isinstance(mount, Mount) and isinstance(mount.app, FastAPI):
            yield from _of_app(mount.app, mount.path)
    with warnings.catch_warnings():
        # What a dialect does not know has one answer, for all methods.
        warnings.filterwarnings("ignore", "Duplicate Operation ID")
        paths = app.openapi()["paths"]
    for path, operations in paths.items():
        yield from ((method.upper(), _template(under + path)) for method in operations)


def _template(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path).rstrip(".,")
