"""Move files and rewrite every import of the moved modules.

    python docs/decisions/layout-and-names/move_modules.py MOVES.tsv

Run in the root of the repository, with an interpreter that has `libcst` installed. Each row of the
table: the old path and the new path, separated by a tab. A module whose last name changes is
renamed at its uses, too; where the new name is taken already, the place is printed. Module names
inside strings (`monkeypatch.setattr`, `python -m`) are not found.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import libcst as cst
from libcst.helpers import get_full_name_for_node
from libcst.metadata import MetadataWrapper, ScopeProvider


def module_name(path: str) -> str:
    """Return the dotted name of a Python file."""
    return path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


class ImportRewriter(cst.CSTTransformer):
    """Rewrites the imports of one file; `conflicts` are names that were taken already."""

    METADATA_DEPENDENCIES = (ScopeProvider,)

    def __init__(self, moved: dict[str, str], path: str) -> None:
        super().__init__()
        self._moved = moved
        self._path = path
        self._renamed: dict[Any, str] = {}
        self.conflicts: list[str] = []

    def visit_Module(self, node: cst.Module) -> None:
        """Find the uses of modules whose last name changes."""
        scopes = {scope for scope in self.metadata[ScopeProvider].values() if scope is not None}
        taken = {assignment.name for scope in scopes for assignment in scope.assignments}
        for scope in scopes:
            for assignment in scope.assignments:
                self._rename_uses(assignment, taken)

    def _rename_uses(self, assignment: Any, taken: set[str]) -> None:
        imported = getattr(assignment, "node", None)
        if not isinstance(imported, cst.ImportFrom) or imported.module is None:
            return
        target = self._moved.get(f"{get_full_name_for_node(imported.module)}.{assignment.name}")
        has_alias = any(
            alias.asname for alias in imported.names if alias.name.value == assignment.name
        )
        if target is None or has_alias:
            return
        name = target.rpartition(".")[2]
        if name == assignment.name:
            return
        if name in taken:
            self.conflicts.append(f"{self._path}: {assignment.name} -> {name} is taken")
        for access in assignment.references:
            reference = access.node
            while isinstance(reference, cst.Attribute):
                reference = reference.value
            self._renamed[reference] = name

    def leave_Name(self, original: cst.Name, updated: cst.Name) -> cst.Name:
        """Rename a use."""
        name = self._renamed.get(original)
        return updated if name is None else updated.with_changes(value=name)

    def leave_SimpleStatementLine(self, original: Any, updated: Any) -> Any:
        """Rewrite `from package import name, ...`, one statement for each new package."""
        statement = original.body[0]
        if not isinstance(statement, cst.ImportFrom) or statement.module is None:
            return updated
        if isinstance(statement.names, cst.ImportStar):
            return updated
        package = get_full_name_for_node(statement.module)
        groups: dict[str, list[cst.ImportAlias]] = {}
        for alias in statement.names:
            old = alias.name.value
            parent, _, name = self._moved.get(f"{package}.{old}", "").rpartition(".")
            parent = parent or self._moved.get(package, package)
            groups.setdefault(parent, []).append(
                cst.ImportAlias(cst.Name(name or old), alias.asname)
            )
        if list(groups) == [package]:
            return updated
        lines = []
        for parent, aliases in groups.items():
            imported = updated.body[0].with_changes(
                module=cst.parse_expression(parent), names=aliases, lpar=None, rpar=None
            )
            leading = updated.leading_lines if not lines else []
            lines.append(updated.with_changes(body=[imported], leading_lines=leading))
        return cst.FlattenSentinel(lines)


def main() -> None:
    """Move the files, then rewrite all imports; prints names that were taken already."""
    rows = [line.split("\t") for line in Path(sys.argv[1]).read_text().splitlines()]
    moved = {module_name(old): module_name(new) for old, new in rows if old.endswith(".py")}
    for old, new in rows:
        Path(new).parent.mkdir(parents=True, exist_ok=True)
        subprocess.check_call(["git", "mv", old, new])
    listed = subprocess.check_output(["git", "ls-files", "*.py"], text=True)
    for file in map(Path, listed.split()):
        rewriter = ImportRewriter(moved, str(file))
        file.write_text(MetadataWrapper(cst.parse_module(file.read_text())).visit(rewriter).code)
        for conflict in rewriter.conflicts:
            sys.stdout.write(f"{conflict}\n")


if __name__ == "__main__":
    main()
