"""Routes in the documents are served by the API or the sandbox PSP."""

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
from tests.tooling.docs.pages import Page, pages

_ROUTE = re.compile(r"\b(GET|PUT|POST|DELETE) (/[\w/{},.-]+)")
_CHOICE = re.compile(r"\{(\w+(?:,\w+)+)\}")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_documented_routes_are_served(page: Page, served: set[tuple[str, str]]) -> None:
    texts = [*page.codes, *(block.text for block in page.fenced("mermaid"))]
    named = {route for text in texts for route in _routes(text)}
    assert named - served == set()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """Return method and path of all routes; those of the API also without their prefix."""
    folder = tmp_path_factory.mktemp("served")
    api_routes = set(_routes_of_app(api.app.create_app(Settings(data_dir=folder))))
    sandbox_routes = set(_routes_of_app(devtools.sandbox_psp.app.create_app(SandboxSettings())))
    return (
        api_routes
        | sandbox_routes
        | {(method, path.removeprefix("/api")) for method, path in api_routes}
    )


def _routes(text: str) -> Iterator[tuple[str, str]]:
    for method, path in _ROUTE.findall(text):
        parts = _CHOICE.split(path)
        options = [part.split(",") if index % 2 else [part] for index, part in enumerate(parts)]
        yield from ((method, _template("".join(variant))) for variant in product(*options))


def _routes_of_app(app: FastAPI, prefix: str = "") -> Iterator[tuple[str, str]]:
    for mount in app.routes:
        if isinstance(mount, Mount) and isinstance(mount.app, FastAPI):
            yield from _routes_of_app(mount.app, mount.path)
    with warnings.catch_warnings():
        # An emulator's fallback route has the same operation id for all methods.
        warnings.filterwarnings("ignore", "Duplicate Operation ID")
        paths = app.openapi()["paths"]
    for path, operations in paths.items():
        yield from ((method.upper(), _template(prefix + path)) for method in operations)


def _template(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path).rstrip(".,")
