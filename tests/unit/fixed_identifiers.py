"""Identifiers that something outside the code relies on, as the code defines them now.

`python -m tests.unit.fixed_identifiers` updates `fixed_identifiers.json`, which is part of the
review: a line that disappears breaks running workflows, stored rows, dashboards or scripts.
"""

import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import typer
from pydantic import BaseModel

from tests.support.paths import ROOT

FILE = Path(__file__).with_suffix(".json")
PACKAGES = ("activities", "api", "integrator", "workflows")
STORED = ("workflows.", "integrator.contract.", "integrator.psp.types", "integrator.store.")
"""Modules whose models and enumerations are stored or sent to Billwerk+."""


def modules() -> list[ModuleType]:
    """Import and return every module of the product but its entry points and the kit."""
    names = [
        found.name
        for package in PACKAGES
        for found in pkgutil.walk_packages([str(ROOT / package)], f"{package}.")
        if not found.name.endswith("__main__")
        and not found.name.startswith(
            ("integrator.store.migrations", "integrator.psp.conformance.")
        )
    ]
    return [importlib.import_module(name) for name in [*PACKAGES, "worker", *names]]


def classes(every: list[ModuleType]) -> Iterator[type]:
    """Yield the classes that the modules define."""
    for module in every:
        for value in vars(module).values():
            if inspect.isclass(value) and value.__module__ == module.__name__:
                yield value


def collect() -> dict[str, Any]:
    """Return the identifiers by kind."""
    from integrator.cli.main import app
    from integrator.contract.currencies import DECIMALS
    from integrator.observability.metrics import CATALOGUE
    from integrator.settings import Settings
    from integrator.store.tables import metadata
    from workflows.metrics import COUNTERS
    from workflows.search_attributes import KEYS

    every = modules()
    defined = list(classes(every))
    stored = [one for one in defined if one.__module__.startswith(STORED)]
    tables = metadata.tables.values()
    return {
        "workflows": workflows(defined),
        "activities": sorted(set(activities(defined))),
        "search attributes": sorted(key.name for key in KEYS),
        "metrics": sorted(f"{one.name} {sorted(one.labels)}" for one in CATALOGUE),
        "metrics through the SDK": sorted(f"{one.name} {sorted(one.labels)}" for one in COUNTERS),
        "settings": sorted(Settings.model_fields),
        "tables": {table.name: sorted(column.name for column in table.columns) for table in tables},
        "indexes": sorted(str(index.name) for table in tables for index in table.indexes),
        "currencies": DECIMALS,
        "commands": dict(commands(typer.main.get_command(app), ())),
        "enumerations": sorted(
            {str([str(member.value) for member in one]) for one in stored if issubclass(one, Enum)}
        ),
        "JSON fields": sorted(
            {
                str(sorted(field.alias or name for name, field in one.model_fields.items()))
                for one in stored
                if issubclass(one, BaseModel) and one.model_fields
            }
        ),
    }


def workflows(defined: list[type]) -> dict[str, dict[str, list[str]]]:
    """Return the names of workflows with those of their messages."""
    found = {}
    for one in defined:
        definition = vars(one).get("__temporal_workflow_definition")
        if definition is not None and definition.name is not None:
            found[definition.name] = {
                "queries": sorted(map(str, definition.queries)),
                "signals": sorted(map(str, definition.signals)),
                "updates": sorted(map(str, definition.updates)),
            }
    return found


def activities(defined: list[type]) -> Iterator[str]:
    """Yield the names of activities."""
    for one in defined:
        for function in vars(one).values():
            if inspect.isfunction(function):
                definition = getattr(function, "__temporal_activity_definition", None)
                if definition is not None:
                    yield definition.name


def commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """Yield each command with its options."""
    options = [name for one in command.params for name in (*one.opts, *one.secondary_opts)]
    yield " ".join(path), sorted(name for name in options if name.startswith("-"))
    for name, nested in getattr(command, "commands", {}).items():
        yield from commands(nested, (*path, name))


def render() -> str:
    """Return the content of the file."""
    return json.dumps(collect(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(render())
