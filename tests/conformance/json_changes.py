"""Changes of the objects in a PSP's JSON, for a harness's distortions."""

import json
from collections.abc import Callable, Collection
from copy import deepcopy
from typing import Any

from integrator.psp.conformance.harness import Distort

JsonObject = dict[str, Any]


def change_objects(change: Callable[[JsonObject], None]) -> Distort:
    """Return the distortion that applies `change` to every object of a response, inner ones first.

    Anything but JSON stays as it is.
    """

    def distort(body: bytes) -> bytes:
        try:
            content = json.loads(body)
        except ValueError:
            return body
        changed = deepcopy(content)
        _visit(changed, change)
        return body if changed == content else json.dumps(changed).encode()

    return distort


def set_members(is_meant: Callable[[JsonObject], bool], **members: Any) -> Distort:
    """Return the distortion that sets members of certain objects."""

    def change(item: JsonObject) -> None:
        if is_meant(item):
            item.update(members)

    return change_objects(change)


def null_members(is_meant: Callable[[JsonObject], bool], kept: Collection[str]) -> Distort:
    """Return the distortion that sets all members of certain objects to null, but for some."""

    def change(item: JsonObject) -> None:
        if is_meant(item):
            item.update({name: None for name in item if name not in kept})

    return change_objects(change)


def _visit(content: Any, change: Callable[[JsonObject], None]) -> None:
    if isinstance(content, list):
        for item in content:
            _visit(item, change)
    elif isinstance(content, dict):
        for item in content.values():
            _visit(item, change)
        change(content)
