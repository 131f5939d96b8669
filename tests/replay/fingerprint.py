"""What each workflow function has the server do, in order: `python -m tests.replay.fingerprint`.

A replay fails when the commands of a workflow change in a way that a stored history has met. This
notices the change itself, met or not, from the source alone. Names of locals, comments, docstrings
and formatting do not count; conditions do not either: those are what the histories are for.
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
    "workflows.deadline_timer",
    "workflows.change_notifier",
    "workflows.transaction_workflow",
    "workflows.transaction_handling",
    "workflows.temporal_ui",
    "workflows.payment",
    "workflows.preauth",
    "workflows.reconcile",
    "workflows.snapshot_recorder",
    "workflows.refund",
    "workflows.psp_retry",
)
"""Where commands come from."""

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
"""Functions of `temporalio.workflow` that end in a command, or replay what one has recorded."""

TASKS = {"create_task", "gather", "sleep", "timeout", "wait", "wait_for"}
"""Functions of asyncio whose order decides that of commands."""

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
    """The commands of one module's functions; `leading` names the functions that lead to some."""

    def __init__(self, module: ModuleType, leading: set[str]) -> None:
        self._module = module
        self._leading = leading
        self._parameters: set[str] = set()

    def of(self, function: Function) -> Lines:
        """The message that the function handles, if any, and its commands."""
        handled = [line for mark in function.decorator_list for line in self._handler(mark)]
        return handled + [f"  {line}" for line in self.commands(function)]

    def commands(self, function: Function) -> Lines:
        """The function's commands, indented as its blocks are; empty if it has none."""
        self._parameters = {argument.arg for argument in function.args.args}
        return self._all(function.body)

    def _handler(self, mark: ast.expr) -> Iterator[str]:
        """The kind and the name of a message, which whoever sends it must know."""
        if isinstance(mark, ast.Call) and _path(mark.func).startswith("workflow."):
            names = [word.value for word in mark.keywords if word.arg == "name"]
            texts = [str(self._value(name)) for name in names]
            yield f"{_path(mark.func).removeprefix('workflow.')} {' '.join(texts)}".strip()

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
        """What is awaited may be somebody else's to choose, and is a command all the same."""
        inside = self._node(node.value)
        if inside:
            return inside
        called = node.value.func if isinstance(node.value, ast.Call) else node.value
        given = isinstance(called, ast.Name) and called.id in self._parameters
        return ["await a parameter" if given else f"await {_path(called).rpartition('.')[2]}"]

    def _block(self, node: ast.AST) -> Lines:
        """Its parts one deeper, with its kind above; nothing if there is nothing in them."""
        otherwise = node.orelse if isinstance(node, ast.If) else []
        parts = [part for part in ast.iter_child_nodes(node) if part not in otherwise]
        kind = BLOCKS[type(node)]
        return [*_under(kind, self._all(parts)), *_under("else", self._all(otherwise))]

    def _call(self, node: ast.Call) -> Lines:
        rest = [*node.args, *(word.value for word in node.keywords)]
        inside = [line for child in (node.func, *rest) for line in self._node(child)]
        path = _path(node.func)
        owner, _, name = path.rpartition(".")
        if owner == "workflow" and name in COMMANDS:
            return [*inside, self._command(name, node)]
        if owner == "asyncio" and name in TASKS:
            return [*inside, f"asyncio.{name}"]
        if name in self._leading:
            return [*inside, f"-> {name}"]
        return inside

    def _command(self, name: str, node: ast.Call) -> str:
        if name in ("patched", "deprecate_patch"):
            return f"{name} {self._value(node.args[0])}"
        timed = any(word.arg == "timeout" for word in node.keywords)
        return f"{name} with a timeout" if timed else name


def _under(heading: str, lines: Lines) -> Lines:
    return [heading, *(f"  {line}" for line in lines)] if lines else []


def _path(node: ast.AST) -> str:
    """`a.b.c` of such an expression, else an empty text."""
    if isinstance(node, ast.Attribute):
        owner = _path(node.value)
        return f"{owner}.{node.attr}" if owner else node.attr
    return node.id if isinstance(node, ast.Name) else ""


def functions(tree: ast.AST, within: str = "") -> Iterator[tuple[str, Function]]:
    """Every function with its full name, in order of appearance."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from functions(node, f"{within}{node.name}.")
        elif isinstance(node, Function):
            yield f"{within}{node.name}", node


def leading(sources: dict[str, str]) -> set[str]:
    """The names of the functions that have commands, or call one that has."""
    trees = {name: ast.parse(source) for name, source in sources.items()}
    found: set[str] = set()
    while True:
        more = {
            function.name
            for name, tree in trees.items()
            for _, function in functions(tree)
            if Outline(importlib.import_module(name), found).commands(function)
        }
        if more <= found:
            return found
        found |= more


def fingerprint(sources: dict[str, str]) -> str:
    """The commands of these modules' sources, by module name."""
    lead = leading(sources)
    lines: Lines = ["activities"]
    lines += [
        f"  {name}: {'local ' if step.local else ''}{step.name}"
        for name, step in vars(activity_plans).items()
        if isinstance(step, activity_plans.ActivityPlan)
    ]
    lines += ["", "figures", *(f"  {name}: {value}" for name, value in _figures())]
    lines += ["", f"workflows {' '.join(sorted(one.__name__ for one in _workflows()))}"]
    for name, source in sources.items():
        outline = Outline(importlib.import_module(name), lead)
        for full, function in functions(ast.parse(source)):
            commands = outline.of(function)
            if commands:
                lines += ["", f"{name} {full}", *(f"  {line}" for line in commands)]
    return "\n".join(lines) + "\n"


def _workflows() -> list[type]:
    return [*WORKFLOWS, ReconcileWorkflow]


def _figures() -> Iterator[tuple[str, str]]:
    """Times that a replay compares with those in a history: another one may be due there."""
    for module in (timeouts, psp_retry):
        for name, value in vars(module).items():
            if name.isupper() and isinstance(value, float | timedelta | tuple):
                listed = value if isinstance(value, tuple) else (value,)
                yield name, ", ".join(map(str, listed))


def sources() -> dict[str, str]:
    """The modules as they are now."""
    return {name: inspect.getsource(importlib.import_module(name)) for name in MODULES}


def changes() -> str:
    """What to do about the difference to the accepted fingerprint; empty if there is none."""
    accepted, now = FILE.read_text(), fingerprint(sources())
    if accepted == now:
        return ""
    shown = difflib.unified_diff(
        accepted.splitlines(), now.splitlines(), "accepted", "now", n=3, lineterm=""
    )
    changed = sorted(_changed(accepted, now))
    return "\n".join(
        [
            f"The commands of {', '.join(changed)} changed.",
            "Running transactions replay them: keep the old order for histories that have it by",
            "patched(), or see that all stored histories replay and record one for the new branch",
            "(docs/changing-workflows.md). Then: python -m tests.replay.fingerprint --accept",
            "",
            *shown,
        ]
    )


def _changed(accepted: str, now: str) -> set[str]:
    """The functions whose commands are others, or which came or went."""
    before, after = (
        dict(part.partition("\n")[::2] for part in text.split("\n\n")) for text in (accepted, now)
    )
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def main(arguments: list[str]) -> int:
    """Show the change, or accept it."""
    if arguments == ["--accept"]:
        FILE.write_text(fingerprint(sources()))
        return 0
    found = changes()
    sys.stdout.write(found or "The commands of all workflows are as accepted.\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
