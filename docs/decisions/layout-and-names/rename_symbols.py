"""Rename symbols across the workspace with basedpyright's language server.

    python rename_symbols.py TABLE.tsv

Each row of the table: a file, the qualified name in it (`Class.method`, `function.local`, `CONSTANT`), the new
name; separated by tabs. Rows are applied in order. Needs `pip install basedpyright`.
"""

import ast
import fcntl
import json
import pathlib
import subprocess
import sys
import time
from urllib.parse import unquote, urlparse

ROOT = pathlib.Path.cwd()
SERVER = pathlib.Path(sys.executable).with_name("basedpyright-langserver")


class LanguageServer:
    def __init__(self) -> None:
        self.process = subprocess.Popen([SERVER, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.next_id = 0
        self.warm = False
        self.versions: dict[str, int] = {}
        self.request("initialize", {
            "processId": None, "rootUri": ROOT.as_uri(),
            "workspaceFolders": [{"uri": ROOT.as_uri(), "name": "root"}],
            "capabilities": {"workspace": {"configuration": True, "workspaceEdit": {"documentChanges": False},
                "didChangeWatchedFiles": {"dynamicRegistration": True}}},
        })
        self.notify("initialized", {})
        self.request("workspace/symbol", {"query": "zzzz"});

    def send(self, message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def notify(self, method, params):
        self.send({"method": method, "params": params})

    def read(self):
        length = 0
        while (line := self.process.stdout.readline().strip()):
            if line.lower().startswith(b"content-length"):
                length = int(line.split(b":")[1])
        return json.loads(self.process.stdout.read(length))

    def request(self, method, params):
        self.next_id += 1
        id = self.next_id
        self.send({"id": id, "method": method, "params": params})
        while True:
            m = self.read()
            if "method" in m:
                if "id" in m:
                    result = None
                    if m["method"] == "workspace/configuration":
                        result = [self.config(i.get("section")) for i in m["params"]["items"]]
                    self.send({"id": m["id"], "result": result})
                continue
            if m.get("id") == id:
                if "error" in m:
                    raise RuntimeError(m["error"])
                return m.get("result")

    def config(self, section):
        analysis = {"diagnosticMode": "openFilesOnly", "autoSearchPaths": True, "indexing": False, "typeCheckingMode": "off",
                    "extraPaths": [str(ROOT), str(ROOT / "examples/tutorial-psp")],
                    "exclude": ["**/node_modules", "**/__pycache__", ".venv", "build", ".data", ".localstripe"]}
        if section == "basedpyright.analysis":
            return analysis
        if section == "python":
            return {"pythonPath": str(ROOT / ".venv/bin/python"), "analysis": analysis}
        if section == "basedpyright":
            return {"analysis": analysis}
        return None

    def show(self, path):
        """Open the file, or send what it holds now."""
        uri, text = path.as_uri(), path.read_text()
        version = self.versions.get(uri, 0) + 1
        self.versions[uri] = version
        if version == 1:
            self.notify("textDocument/didOpen", {"textDocument": {"uri": uri, "languageId": "python", "version": 1, "text": text}})
        else:
            self.notify("textDocument/didChange", {"textDocument": {"uri": uri, "version": version}, "contentChanges": [{"text": text}]})

    def stop(self):
        self.process.kill()


def nodes_named(body, name):
    for node in body:
        for child in walk_shallow(node):
            yield from match(child, name)


def walk_shallow(node):
    """Nodes below, without entering nested classes and functions."""
    yield node
    if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        return
    for child in ast.iter_child_nodes(node):
        yield from walk_shallow(child)


def match(node, name):
    if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name:
        yield node, None
    elif isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store):
        yield node, (node.lineno, node.col_offset)
    elif isinstance(node, ast.alias) and (node.asname or node.name) == name and node.asname:
        yield node, (node.end_lineno, node.end_col_offset - len(name))


def self_attribute(cls, name):
    for node in ast.walk(cls):
        if isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.ctx, ast.Store) \
                and isinstance(node.value, ast.Name) and node.value.id == "self":
            return (node.end_lineno, node.end_col_offset - len(name))
    return None


def parameter(fn, name):
    if not isinstance(fn, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return None
    a = fn.args
    for arg in [*a.posonlyargs, *a.args, *a.kwonlyargs, *([a.vararg] if a.vararg else []), *([a.kwarg] if a.kwarg else [])]:
        if arg.arg == name:
            return (arg.lineno, arg.col_offset)
    return None


def locate(source, qualname):
    tree = ast.parse(source)
    lines = source.split("\n")
    scope, body, position = None, tree.body, None
    for part in qualname.split("."):
        found = next(nodes_named(body, part), None)
        if found is None:
            position = parameter(scope, part) if scope else None
            if position is None and isinstance(scope, ast.ClassDef):
                position = self_attribute(scope, part)
            if position is None:
                raise LookupError(f"{qualname}: no {part}")
            scope = None
            continue
        node, position = found
        if position is None:
            line = node.lineno - 1
            column = lines[line].encode().find(b" " + part.encode(), node.col_offset) + 1
            position = (node.lineno, column)
            scope, body = node, node.body
    line, col = position
    text = lines[line - 1].encode()[:col].decode()
    return line - 1, len(text.encode("utf-16-le")) // 2


def apply(path, edits, old, new):
    source = path.read_text()
    lines = source.split("\n")
    def key(e):
        return (e["range"]["start"]["line"], e["range"]["start"]["character"])
    for e in sorted(edits, key=key, reverse=True):
        start, end = e["range"]["start"], e["range"]["end"]
        assert start["line"] == end["line"], (path, e)
        raw = lines[start["line"]].encode("utf-16-le")
        before, middle, after = raw[: start["character"] * 2].decode("utf-16-le"), raw[start["character"] * 2 : end["character"] * 2].decode("utf-16-le"), raw[end["character"] * 2 :].decode("utf-16-le")
        if middle != old:
            raise RuntimeError(f"{path}:{start['line'] + 1}: {middle!r} is not {old!r}")
        lines[start["line"]] = before + e["newText"] + after
    return "\n".join(lines)


def rename(server, file, qualname, new):
    path = ROOT / file
    old = qualname.rsplit(".", 1)[-1]
    line, character = locate(path.read_text(), qualname)
    uri = path.as_uri()
    server.show(path)
    asked = {"textDocument": {"uri": uri}, "position": {"line": line, "character": character}, "newName": new}
    result, same = None, 0
    while same < (2 if server.warm else 5):
        again = server.request("textDocument/rename", asked)
        same = same + 1 if again == result else 0
        result = again
        if not server.warm:
            time.sleep(0.5)
    server.warm = True
    changes = dict((result or {}).get("changes") or {})
    for change in (result or {}).get("documentChanges") or []:
        changes.setdefault(change["textDocument"]["uri"], []).extend(change["edits"])
    if not changes:
        raise LookupError(f"{file} {qualname}: the server finds nothing to rename")
    files = {pathlib.Path(unquote(urlparse(u).path)): e for u, e in changes.items()}
    files = {p: e for p, e in files.items() if ROOT in p.parents and ".venv" not in p.parts}
    texts = {p: apply(p, e, old, new) for p, e in files.items()}
    for p, text in texts.items():
        p.write_text(text)
    for p in texts:
        server.show(p)
    return sum(len(e) for e in files.values()), len(files)


def main():
    rows = [r.rstrip("\n").split("\t") for r in open(sys.argv[1]) if r.strip() and not r.startswith("#")]
    lock = open("/tmp/rn/lock", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    server = LanguageServer()
    failed = []
    t0 = time.time()
    try:
        for row in rows:
            file, qualname, new = row[:3]
            for attempt in range(3):
                try:
                    n, f = rename(server, file, qualname, new)
                    print(f"{time.time()-t0:6.1f}s {file} {qualname} -> {new}: {n} places in {f} files", flush=True)
                    with open("/tmp/rn/applied.tsv", "a") as out:
                        out.write("\t".join(row[:3]) + "\n")
                    break
                except RuntimeError as error:
                    # another process edited meanwhile
                    server.stop(); server = LanguageServer()
                    last = error
                except (LookupError, OSError, SyntaxError) as error:
                    failed.append((row, error)); print("FAILED", row, error, flush=True)
                    break
            else:
                failed.append((row, last)); print("FAILED", row, last, flush=True)
    finally:
        server.stop()
    sys.exit(1 if failed else 0)


main()
