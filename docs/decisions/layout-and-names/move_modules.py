"""Move modules and rewrite every import of them.

    python move_modules.py MOVES.tsv

Each row: the old path, the new path, separated by a tab. Needs `pip install libcst`.
"""

import pathlib
import subprocess
import sys

import libcst as cst
from libcst.helpers import get_full_name_for_node
from libcst.metadata import MetadataWrapper, ScopeProvider

ROOT = pathlib.Path.cwd()


def dotted(path: str) -> str:
    name = path.removesuffix(".py").replace("/", ".")
    return name.removesuffix(".__init__")


def node_of(name: str):
    first, *rest = name.split(".")
    node = cst.Name(first)
    for part in rest:
        node = cst.Attribute(node, cst.Name(part))
    return node


class Rewriter(cst.CSTTransformer):
    METADATA_DEPENDENCIES = (ScopeProvider,)

    def __init__(self, moved, path):
        super().__init__()
        self.moved, self.path = moved, path
        self.renamed = {}  # Name nodes to rename
        self.problems = []

    def visit_Module(self, node):
        scopes = {s for s in self.metadata[ScopeProvider].values() if s is not None}
        names = {a.name for s in scopes for a in s.assignments}
        for scope in scopes:
            for assignment in scope.assignments:
                imported = getattr(assignment, "node", None)
                if not isinstance(imported, cst.ImportFrom) or imported.module is None:
                    continue
                module = get_full_name_for_node(imported.module)
                old = f"{module}.{assignment.name}"
                if isinstance(imported.names, cst.ImportStar) or old not in self.moved:
                    continue
                if any(a.asname is not None and a.evaluated_alias == assignment.name for a in imported.names):
                    continue
                base = self.moved[old].rsplit(".", 1)[-1]
                if base == assignment.name:
                    continue
                if base in names:
                    self.problems.append(f"{self.path}: {assignment.name} -> {base} is taken")
                for access in assignment.references:
                    reference = access.node
                    while isinstance(reference, cst.Attribute):
                        reference = reference.value
                    if isinstance(reference, cst.Name):
                        self.renamed[reference] = base
                    else:
                        self.problems.append(f"{self.path}: {assignment.name} in a {type(reference).__name__}")

    def leave_Name(self, original, updated):
        if original in self.renamed:
            return updated.with_changes(value=self.renamed[original])
        return updated

    def leave_SimpleStatementLine(self, original, updated):
        if len(updated.body) != 1 or not isinstance(original.body[0], cst.ImportFrom):
            return updated
        statement, before = updated.body[0], original.body[0]
        if before.module is None or isinstance(before.names, cst.ImportStar):
            return updated
        module = get_full_name_for_node(before.module)
        groups = {}
        for alias in before.names:
            name = alias.name.value
            target = self.moved.get(f"{module}.{name}")
            if target is not None:
                parent, base = target.rsplit(".", 1)
                asname = alias.asname
                groups.setdefault(parent, []).append(cst.ImportAlias(cst.Name(base), asname))
            else:
                groups.setdefault(self.moved.get(module, module), []).append(cst.ImportAlias(cst.Name(name), alias.asname))
        if list(groups) == [module] and [a.name.value for a in groups[module]] == [a.name.value for a in before.names]:
            return updated
        lines = []
        for index, (parent, aliases) in enumerate(groups.items()):
            new = statement.with_changes(module=node_of(parent), names=aliases)
            if len(groups) > 1 or len(aliases) == 1:
                new = new.with_changes(lpar=None, rpar=None)
            line = updated.with_changes(body=[new])
            if index:
                line = line.with_changes(leading_lines=[])
            lines.append(line)
        return cst.FlattenSentinel(lines)


def main():
    rows = [line.rstrip("\n").split("\t") for line in open(sys.argv[1])]
    moved = {}
    for old, new in rows:
        if old.endswith(".py"):
            moved[dotted(old)] = dotted(new)
    for old, new in rows:
        target = ROOT / new
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.check_call(["git", "mv", old, new])
    files = subprocess.check_output(["git", "ls-files", "*.py"], text=True).split()
    for file in files:
        path = ROOT / file
        source = path.read_text()
        wrapper = MetadataWrapper(cst.parse_module(source))
        rewriter = Rewriter(moved, file)
        result = wrapper.visit(rewriter).code
        for problem in rewriter.problems:
            print(problem)
        if result != source:
            path.write_text(result)


main()
