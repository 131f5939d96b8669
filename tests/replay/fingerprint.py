"""Fingerprint of the workflows' commands, in order: `python -m tests.replay.fingerprint`.

A replay fails if the commands of a workflow change on a path that a stored history takes. The
fingerprint detects such a change on any path, from the source alone. Names of locals, comments,
docstrings and formatting do not count. Conditions do not count either: the histories cover them.
"""

import ast
import difflib
import importlib
import inspect
import sys
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType

from worker import WORKFLOWS
from workflows import activity_plans, psp_retry, timeouts
from workflows.reconcile import ReconcileWorkflow

FILE = Path(__file__).with_name("fingerprint.txt")

MODULES = (
    "workflows.activity_plans",
    "workflows.transaction_workflow",
    "workflows.preauth",
    "workflows.payment",
    "workflows.refund",
    "workflows.reconcile",
    "workflows.transaction_context",
    "workflows.reservation_client",
    "workflows.psp_operation",
    "workflows.psp_retry",
    "workflows.lookup",
    "workflows.notification_reader",
    "workflows.preauth_void",
    "workflows.deadlines",
    "workflows.deadline_timer",
    "workflows.snapshot_recorder",
    "workflows.change_notifier",
    "workflows.temporal_ui",
)
"""The modules that issue commands."""

COMMANDS = {
    "continue_as_new",
    "deprecate_patch",
    "execute_activity",
    "execute_child_workflow",
    "execute_local_activity",
    "patched",
    "random",
    "sleep",
    "start_activity",
    "start_child_workflow",
    "start_local_activity",
    "upsert_memo",
    "upsert_search_attributes",
    "uuid4",
    "wait_condition",
}
"""Functions of `temporalio.workflow` that issue a command or replay a recorded result."""

TASKS = {"create_task", "gather", "sleep", "timeout", "wait", "wait_for"}
"""Functions of asyncio that determine the order of commands."""

BLOCKS: dict[type[ast.AST], str] = {
    ast.If: "if",
    ast.While: "while",
    ast.For: "for",
    ast.AsyncFor: "for",
    ast.Try: "try",
    ast.ExceptHandler: "except",
    ast.With: "with",
    ast.AsyncWith: "with",
    ast.Match: "match",
    ast.match_case: "case",
}

Lines = list[str]
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Outline:
    """Outline of the commands in one module; `leading` names the functions that issue commands."""

    def __init__(self, module: ModuleType, leading: set[str]) -> None:
        self._module = module
        self._leading = leading
        self._parameters: set[str] = set()

    def outline(self, function: Function) -> Lines:
        """Return the message that the function handles, if any, and its commands."""
        handled = [line for node in function.decorator_list for line in self._handler(node)]
        return handled + [f"  {line}" for line in self.commands(function)]

    def commands(self, function: Function) -> Lines:
        """Return the function's commands, indented like its blocks; empty if it has none."""
        self._parameters = {argument.arg for argument in function.args.args}
        return self._all(function.body)

    def _handler(self, decorator: ast.expr) -> Iterator[str]:
        """Yield kind and name of the message that a decorator declares; callers depend on both."""
        if isinstance(decorator, ast.Call) and _path(decorator.func).startswith("workflow."):
            names = [keyword.value for keyword in decorator.keywords if keyword.arg == "name"]
            texts = [str(self._value(name)) for name in names]
            yield f"{_path(decorator.func).removeprefix('workflow.')} {' '.join(texts)}".strip()

    def _value(self, name: ast.expr) -> object:
        return name.value if isinstance(name, ast.Constant) else vars(self._module)[_path(name)]

    def _all(self, nodes: Iterable[ast.AST]) -> Lines:
        return [line for node in nodes for line in self._node(node)]

    def _node(self, node: ast.AST) -> Lines:
        match node:
            case ast.Await():
                return self._await(node)
            case ast.Call():
                return self._call(node)
            case ast.Attribute() if isinstance(self._plan(node), activity_plans.ActivityPlan):
                return [_path(node)]
            case _ if type(node) in BLOCKS:
                return self._block(node)
        return self._all(ast.iter_child_nodes(node))

    def _plan(self, node: ast.Attribute) -> object:
        return (
            getattr(activity_plans, node.attr, None)
            if _path(node) == f"activity_plans.{node.attr}"
            else None
        )

    def _await(self, node: ast.Await) -> Lines:
        """Return the commands of an await; a callable passed as a parameter counts as one."""
        commands = self._node(node.value)
        if commands:
            return commands
        called = node.value.func if isinstance(node.value, ast.Call) else node.value
        is_parameter = isinstance(called, ast.Name) and called.id in self._parameters
        return [
            "await a parameter" if is_parameter else f"await {_path(called).rpartition('.')[2]}"
        ]

    def _block(self, node: ast.AST) -> Lines:
        """Return the commands of a block under its kind; empty if it has none."""
        otherwise = node.orelse if isinstance(node, ast.If) else []
        parts = [part for part in ast.iter_child_nodes(node) if part not in otherwise]
        kind = BLOCKS[type(node)]
        return [*_under(kind, self._all(parts)), *_under("else", self._all(otherwise))]

    def _call(self, node: ast.Call) -> Lines:
        rest = [*node.args, *(keyword.value for keyword in node.keywords)]
        nested = [line for child in (node.func, *rest) for line in self._node(child)]
        path = _path(node.func)
        owner, _, name = path.rpartition(".")
        if owner == "workflow" and name in COMMANDS:
            return [*nested, self._command(name, node)]
        if owner == "asyncio" and name in TASKS:
            return [*nested, f"asyncio.{name}"]
        if name in self._leading:
            part = owner.removeprefix("self.") if owner.startswith("self.") else ""
            return [*nested, f"-> {part}.{name}" if part else f"-> {name}"]
        return nested

    def _command(self, name: str, node: ast.Call) -> str:
        if name in ("patched", "deprecate_patch"):
            return f"{name} {self._value(node.args[0])}"
        timed = any(keyword.arg == "timeout" for keyword in node.keywords)
        return f"{name} with a timeout" if timed else name


def _under(heading: str, lines: Lines) -> Lines:
    return [heading, *(f"  {line}" for line in lines)] if lines else []


def _path(node: ast.AST) -> str:
    """Return `a.b.c` for such an expression, otherwise an empty string."""
    if isinstance(node, ast.Attribute):
        owner = _path(node.value)
        return f"{owner}.{node.attr}" if owner else node.attr
    return node.id if isinstance(node, ast.Name) else ""


def functions(tree: ast.AST, within: str = "") -> Iterator[tuple[str, Function]]:
    """Yield every function with its qualified name, in order of appearance."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from functions(node, f"{within}{node.name}.")
        elif isinstance(node, Function):
            yield f"{within}{node.name}", node


def command_functions(sources: dict[str, str]) -> set[str]:
    """Return the names of the functions that issue commands, directly or through others."""
    trees = {name: ast.parse(source) for name, source in sources.items()}
    found: set[str] = set()
    while True:
        names = {
            function.name
            for name, tree in trees.items()
            for _, function in functions(tree)
            if Outline(importlib.import_module(name), found).commands(function)
        }
        if names <= found:
            return found
        found |= names


def fingerprint(sources: dict[str, str]) -> str:
    """Return the fingerprint of the modules' sources, by module name."""
    names = command_functions(sources)
    lines: Lines = ["activities"]
    lines += [
        f"  {name}: {'local ' if plan.local else ''}{plan.name}"
        for name, plan in vars(activity_plans).items()
        if isinstance(plan, activity_plans.ActivityPlan)
    ]
    lines += ["", "figures", *(f"  {name}: {value}" for name, value in _time_constants())]
    lines += ["", f"workflows {' '.join(sorted(workflow.__name__ for workflow in _workflows()))}"]
    for name, source in sources.items():
        outline = Outline(importlib.import_module(name), names)
        for qualified_name, function in functions(ast.parse(source)):
            commands = outline.outline(function)
            if commands:
                lines += ["", f"{name} {qualified_name}", *(f"  {line}" for line in commands)]
    return "\n".join(lines) + "\n"


def _workflows() -> list[type]:
    return [*WORKFLOWS, ReconcileWorkflow]


def _time_constants() -> Iterator[tuple[str, str]]:
    """Yield the time constants: a changed one may fire another timer in a replay."""
    for module in (timeouts, psp_retry):
        for name, value in vars(module).items():
            if name.isupper() and isinstance(value, float | timedelta | tuple):
                values = value if isinstance(value, tuple) else (value,)
                yield name, ", ".join(map(str, values))


def sources() -> dict[str, str]:
    """Return the current source of each module."""
    return {name: inspect.getsource(importlib.import_module(name)) for name in MODULES}


def describe_changes() -> str:
    """Describe the difference to the accepted fingerprint; empty if there is none."""
    accepted, current = FILE.read_text(), fingerprint(sources())
    if accepted == current:
        return ""
    diff = difflib.unified_diff(
        accepted.splitlines(), current.splitlines(), "accepted", "current", n=3, lineterm=""
    )
    changed = sorted(_changed_functions(accepted, current))
    return "\n".join(
        [
            f"The commands of {', '.join(changed)} changed.",
            "Running transactions replay them: keep the old order for histories that have it by",
            "patched(), or check that the stored histories replay and record one for a new branch",
            "(docs/changing-workflows.md). Then: python -m tests.replay.fingerprint --accept",
            "",
            *diff,
        ]
    )


def _changed_functions(accepted: str, current: str) -> set[str]:
    """Return the functions whose commands changed, and those added or removed."""
    before, after = (
        dict(part.partition("\n")[::2] for part in text.split("\n\n"))
        for text in (accepted, current)
    )
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def main(arguments: list[str]) -> int:
    """Print the difference, or accept it."""
    if arguments == ["--accept"]:
        FILE.write_text(fingerprint(sources()))
        return 0
    difference = describe_changes()
    sys.stdout.write(difference or "The commands of all workflows are as accepted.\n")
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
