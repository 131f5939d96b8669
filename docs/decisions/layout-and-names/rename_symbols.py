"""Rename symbols across the repository with the language server of basedpyright.

    python docs/decisions/layout-and-names/rename_symbols.py TABLE.tsv

Run in the root of the repository, with an interpreter that has `basedpyright` installed. Each row
of the table: a file, the qualified name in it (`Class.method`, `function.parameter`, `CONSTANT`)
and the new name, separated by tabs. Rows are applied in order. Names inside strings and keyword
arguments of `dataclasses.replace` are not found: search for the old name afterwards.
"""

import ast
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

ROOT = Path.cwd()
SERVER = Path(sys.executable).with_name("basedpyright-langserver")
EXCLUDED = ["**/__pycache__", ".venv", "build", ".data"]


class LanguageServer:
    """A running language server, spoken to over its standard streams."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([SERVER, "--stdio"], stdin=pipe, stdout=pipe)
        self._last_id = 0
        self._versions: dict[str, int] = {}
        self._is_warm = False
        self._request(
            "initialize",
            {
                "processId": None,
                "rootUri": ROOT.as_uri(),
                "workspaceFolders": [{"uri": ROOT.as_uri(), "name": "root"}],
                "capabilities": {"workspace": {"configuration": True}},
            },
        )
        self._notify("initialized", {})

    def rename(self, path: Path, line: int, column: int, name: str) -> dict[Path, list[Any]]:
        """Return the edits by file.

        The first responses come before all files are indexed: ask until they no longer change.
        """
        self.show(path)
        params = {
            "textDocument": {"uri": path.as_uri()},
            "position": {"line": line, "character": column},
            "newName": name,
        }
        result, unchanged = None, 0
        while unchanged < (2 if self._is_warm else 5):
            response = self._request("textDocument/rename", params)
            unchanged = unchanged + 1 if response == result else 0
            result = response
            if not self._is_warm:
                time.sleep(0.5)
        self._is_warm = True
        edits: dict[Path, list[Any]] = {}
        for change in (result or {}).get("documentChanges") or []:
            file = Path(unquote(urlparse(change["textDocument"]["uri"]).path))
            if ROOT in file.parents and ".venv" not in file.parts:
                edits.setdefault(file, []).extend(change["edits"])
        return edits

    def show(self, path: Path) -> None:
        """Open the file on the server, or send its present content."""
        uri, text = path.as_uri(), path.read_text()
        version = self._versions[uri] = self._versions.get(uri, 0) + 1
        document = {"uri": uri, "version": version}
        if version == 1:
            opened = {**document, "languageId": "python", "text": text}
            self._notify("textDocument/didOpen", {"textDocument": opened})
        else:
            changes = [{"text": text}]
            params = {"textDocument": document, "contentChanges": changes}
            self._notify("textDocument/didChange", params)

    def stop(self) -> None:
        """End the server."""
        self._process.kill()
        self._process.wait()

    def _request(self, method: str, params: Any) -> Any:
        self._last_id += 1
        self._send({"id": self._last_id, "method": method, "params": params})
        while True:
            message = self._receive()
            if "method" in message:
                if "id" in message:
                    self._send({"id": message["id"], "result": _configuration(message)})
            elif message.get("id") == self._last_id:
                if "error" in message:
                    raise RuntimeError(message["error"])
                return message.get("result")

    def _notify(self, method: str, params: Any) -> None:
        self._send({"method": method, "params": params})

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()

    def _receive(self) -> Any:
        assert self._process.stdout is not None
        length = 0
        while header := self._process.stdout.readline().strip():
            if header.lower().startswith(b"content-length"):
                length = int(header.split(b":")[1])
        return json.loads(self._process.stdout.read(length))


def _configuration(message: Any) -> Any:
    if message["method"] != "workspace/configuration":
        return None
    analysis = {
        "diagnosticMode": "openFilesOnly",
        "typeCheckingMode": "off",
        "extraPaths": [str(ROOT), str(ROOT / "examples/tutorial-psp")],
        "exclude": EXCLUDED,
    }
    sections = {
        "basedpyright.analysis": analysis,
        "basedpyright": {"analysis": analysis},
        "python": {"pythonPath": str(ROOT / ".venv/bin/python"), "analysis": analysis},
    }
    return [sections.get(item.get("section")) for item in message["params"]["items"]]


def locate(source: str, qualified_name: str) -> tuple[int, int]:
    """Return line and column (UTF-16) of a definition, from 0; raises `LookupError`."""
    tree = ast.parse(source)
    lines = source.split("\n")
    scope: Any = None
    body: list[ast.stmt] = tree.body
    position = None
    for part in qualified_name.split("."):
        node, position = next(_definitions(body, part), (None, None))
        if node is None:
            position = _parameter(scope, part) or _self_attribute(scope, part)
            scope, body = None, []
        elif position is None:
            column = lines[node.lineno - 1].encode().find(f" {part}".encode(), node.col_offset) + 1
            position, scope, body = (node.lineno, column), node, node.body
        if position is None:
            raise LookupError(f"{qualified_name}: no {part}")
    if position is None:
        raise LookupError(qualified_name)
    line, offset = position
    prefix = lines[line - 1].encode()[:offset].decode()
    return line - 1, len(prefix.encode("utf-16-le")) // 2


def _definitions(body: list[ast.stmt], name: str) -> Iterator[tuple[Any, tuple[int, int] | None]]:
    for statement in body:
        for node in _without_nested_scopes(statement):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                if node.name == name:
                    yield node, None
            elif _is_assigned(node, name):
                yield node, (node.lineno, node.col_offset)


def _is_assigned(node: Any, name: str) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name


def _without_nested_scopes(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        for child in ast.iter_child_nodes(node):
            yield from _without_nested_scopes(child)


def _parameter(scope: Any, name: str) -> tuple[int, int] | None:
    if not isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    arguments = scope.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return next(((one.lineno, one.col_offset) for one in every if one.arg == name), None)


def _self_attribute(scope: Any, name: str) -> tuple[int, int] | None:
    if not isinstance(scope, ast.ClassDef):
        return None
    for node in ast.walk(scope):
        if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Store):
            continue
        if node.attr == name and ast.unparse(node.value) == "self":
            return node.end_lineno or 0, (node.end_col_offset or 0) - len(name.encode())
    return None


def apply(path: Path, edits: list[Any], old: str) -> str:
    """Return the file's text with the edits; raises `RuntimeError` if it changed meanwhile."""
    lines = path.read_text().split("\n")
    for edit in sorted(edits, key=lambda one: _position(one["range"]["start"]), reverse=True):
        number, begin = _position(edit["range"]["start"])
        _, end = _position(edit["range"]["end"])
        raw = lines[number].encode("utf-16-le")
        if raw[2 * begin : 2 * end].decode("utf-16-le") != old:
            raise RuntimeError(f"{path}:{number + 1} has changed: {old!r} is not where it was")
        new = edit["newText"].encode("utf-16-le")
        lines[number] = (raw[: 2 * begin] + new + raw[2 * end :]).decode("utf-16-le")
    return "\n".join(lines)


def _position(position: Any) -> tuple[int, int]:
    return position["line"], position["character"]


def main() -> int:
    """Apply the table; returns 1 if a row could not be applied."""
    rows = [line.split("\t") for line in Path(sys.argv[1]).read_text().splitlines() if line]
    server, failures = LanguageServer(), 0
    try:
        for file, qualified_name, name in rows:
            path, old = ROOT / file, qualified_name.rpartition(".")[2]
            try:
                edits = server.rename(path, *locate(path.read_text(), qualified_name), name)
                texts = {one: apply(one, changes, old) for one, changes in edits.items()}
            except (LookupError, OSError, RuntimeError, SyntaxError) as error:
                failures += 1
                sys.stderr.write(f"{file} {qualified_name}: {error}\n")
                continue
            for one, text in texts.items():
                one.write_text(text)
                server.show(one)
            places = sum(map(len, edits.values()))
            sys.stdout.write(f"{qualified_name} -> {name}: {places} places in {len(edits)} files\n")
    finally:
        server.stop()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
