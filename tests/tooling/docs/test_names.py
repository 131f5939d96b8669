"""Links, variables, files, tests, targets and sub-commands named in the documents exist."""

import ast
import importlib
import json
import re
import shlex
import sqlite3
from functools import cache
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings
from sqlalchemy import create_engine
from sqlalchemy.schema import CreateTable

from integrator.psp import registry
from integrator.settings import PREFIX, Settings
from integrator.store.tables import metadata
from tests.support.paths import ROOT
from tests.tooling.docs import checks
from tests.tooling.docs.pages import Page, pages, read

each_page = pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)

_VARIABLE = re.compile(rf"{PREFIX}[A-Z0-9_]*")
_PATH = re.compile(r"[\w.*-]+(/[\w.*-]*)+")
_TEST = re.compile(r"(tests/[\w/]+\.py)::([\w:]+)")
# A kit's run takes a setting of any adapter from `INTEGRATOR_KIT_<PSP>_<SETTING>`.
_KIT_PREFIX = f"{PREFIX}KIT_"
_GENERATED_FOLDERS = ("build/", "deploy/secrets/")


@each_page
def test_links_resolve(page: Page) -> None:
    broken = [link for link in page.links if not _resolves(page, link)]
    assert broken == []


def test_every_guide_is_listed() -> None:
    listed = next(page for page in pages() if page.name == "docs/README.md").links
    guides = {page.path.name for page in pages() if page.path.parent.name == "docs"}
    assert guides - {"README.md"} <= set(listed), "add a line to docs/README.md"


@each_page
def test_variables_are_settings(page: Page) -> None:
    named = set(_VARIABLE.findall(page.text))
    # A prefix, as in `INTEGRATOR_*`, stands for the variables that begin with it.
    unknown = {
        name
        for name in named
        if name not in variables()
        and not (name.endswith("_") and any(known.startswith(name) for known in variables()))
        and not name.startswith(_KIT_PREFIX)
    }
    assert unknown == set(), f"{page.name} names variables that nothing reads"


@each_page
def test_files_and_tests_exist(page: Page) -> None:
    named = [code for code in page.codes if _is_path(code)]
    assert [path for path in named if not list(ROOT.glob(path.rstrip("/")))] == []
    tests = {match.groups() for code in page.codes if (match := _TEST.fullmatch(code))}
    missing = [f"{file}::{name}" for file, name in tests if name not in _tests_of(ROOT / file)]
    assert missing == []


@each_page
def test_commands_in_the_text_exist(page: Page) -> None:
    for code in page.codes:
        text = re.sub(r"^(\w+=\S+ )+", "", code)
        program, _, rest = text.partition(" ")
        if program == "make" and rest:
            checks.make(text.split()[:2])
        elif program == "temporal" and rest:
            checks.temporal(shlex.split(text))
        elif program == "integrator" and rest:
            assert _names_a_subcommand(rest.split()), f"{page.name}: {code}"
            assert _unknown_options(rest.split()) == set(), f"{page.name}: {code}"


@each_page
def test_json_blocks_are_valid(page: Page) -> None:
    for block in page.fenced("json"):
        json.loads(block.text)


@each_page
def test_sql_blocks_fit_the_schema(page: Page) -> None:
    database = sqlite3.connect(":memory:")
    dialect = create_engine("sqlite://").dialect
    for table in metadata.sorted_tables:
        database.execute(str(CreateTable(table).compile(dialect=dialect)))
    for block in page.fenced("sql"):
        for statement in filter(str.strip, block.text.split(";")):
            database.execute(f"EXPLAIN {statement}")
    database.close()


@cache
def variables() -> frozenset[str]:
    """Return every variable read by the processes, the adapters and the container files."""
    names = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    for name in registry.adapter_names():
        for module in (f"integrator.psp.{name}.config", f"integrator.psp.{name}.settings"):
            if importlib.util.find_spec(module) is not None:
                names |= _aliases(module)
    files = [ROOT / "docker-compose.yml", *(f for f in (ROOT / "deploy").rglob("*") if f.is_file())]
    return frozenset(names.union(*(_VARIABLE.findall(file.read_text()) for file in files)))


@cache
def _tests_of(path: Path) -> frozenset[str]:
    """Return the tests of a file, those in classes as `Class::test`."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body if path.is_file() else ():
        members = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        functions = (n for n in members if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
        names |= {f"{prefix}{function.name}" for function in functions}
    return frozenset(names)


@cache
def _anchors(path: Path) -> frozenset[str]:
    return read(path).anchors


def _resolves(page: Page, link: str) -> bool:
    if re.match(r"[a-z]+:", link):
        return True
    file, _, anchor = link.partition("#")
    target = (page.path.parent / file).resolve() if file else page.path
    if not target.exists():
        return False
    return not anchor or (target.suffix == ".md" and anchor in _anchors(target))


def _aliases(module: str) -> set[str]:
    names: set[str] = set()
    for member in vars(importlib.import_module(module)).values():
        if isinstance(member, type) and issubclass(member, BaseSettings):
            fields = member.model_fields.values()
            names |= {str(field.validation_alias) for field in fields if field.validation_alias}
    return names


def _is_path(code: str) -> bool:
    """Return whether this is a path below a folder of the repository, or a top-level module."""
    if not _PATH.fullmatch(code):
        return bool(re.fullmatch(r"\w+\.py", code)) and code.islower() and _is_top_level(code)
    top = code.split("/")[0]
    return (ROOT / top).is_dir() and top != ".data" and not code.startswith(_GENERATED_FOLDERS)


def _is_top_level(code: str) -> bool:
    return code in {"worker.py"}


def _names_a_subcommand(words: list[str]) -> bool:
    """Return whether the words name a sub-command or a group, with or without arguments."""
    path = tuple(word for word in words if re.fullmatch(r"[a-z-]+", word))
    known = checks.subcommands()
    length = max((length for length in range(len(path) + 1) if path[:length] in known), default=0)
    takes_arguments = not hasattr(known[path[:length]], "commands")
    return length > 0 and (takes_arguments or length == len(path))


def _unknown_options(words: list[str]) -> set[str]:
    options = {word for word in words if word.startswith("--")} - {"--help"}
    if not options:
        return options
    _, _, command = checks.resolve_command(["integrator", *words])
    return options - {
        name for parameter in command.params for name in parameter.opts + parameter.secondary_opts
    }
