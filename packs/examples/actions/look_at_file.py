"""Look at one Python file: count its lines, functions and classes, find its longest function.

What is wrong with the text of a file (binary, wrong encoding, wrong syntax) is part of the result. A file that can't be
read ends this process with exit code 1 and the reason.
"""

from __future__ import annotations

import ast
import json
import os
import stat
import sys
import warnings
from collections.abc import Iterator
from typing import Any


def main() -> None:
    """Read `root` and `file` from stdin, write what there is to say of the file."""
    parameters = json.load(sys.stdin)
    warnings.simplefilter("ignore")  # a file's own doubtful escapes are not our business
    try:
        source = read(os.path.join(parameters["root"], parameters["file"]))
    except OSError as error:
        sys.exit(f"can't be read: {error.strerror or error}")
    json.dump({"file": parameters["file"], **look(source)}, sys.stdout)


def read(path: str) -> bytes:
    """Return the content of a regular file; a pipe or device would keep us waiting for ever."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("not a regular file")
    with open(path, "rb") as file:
        return file.read()


def look(source: bytes) -> dict[str, Any]:
    """Return what there is to say of a source; counts that need a syntax tree are null without one.

    `lines` are all lines; `code` are those that are not blank, comment or docstring.
    """
    lines = source.splitlines()
    tree, problem = parse(source)
    if tree is None:
        counts = {"code": None, "functions": None, "classes": None, "longest": None}
    else:
        counts = count(tree, lines)
    return {"bytes": len(source), "lines": len(lines), **counts, "problem": problem}


def parse(source: bytes) -> tuple[ast.Module | None, str | None]:
    """Return the syntax tree, or what is wrong; the parser heeds a declared encoding."""
    if b"\0" in source:
        return None, "binary: it holds NUL bytes"
    try:
        return ast.parse(source), None
    except SyntaxError as error:
        return None, (f"line {error.lineno}: " if error.lineno and error.lineno > 0 else "") + str(error.msg)
    except (RecursionError, MemoryError):
        return None, "nested too deeply for Python's parser"
    except ValueError as error:  # an integer of thousands of digits
        return None, str(error)


def count(tree: ast.Module, lines: list[bytes]) -> dict[str, Any]:
    """Return the counts that need a syntax tree."""
    functions: list[dict[str, Any]] = []
    classes = 0
    texts: set[int] = (
        set()
    )  # lines inside texts of several lines: not blank and no comment, whatever they look like
    docs: set[int] = set()
    for name, node in definitions(tree):
        if isinstance(node, ast.ClassDef):
            classes += 1
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            functions.append({"name": name, "line": node.lineno, "lines": length(node)})
        elif isinstance(node, ast.Constant | ast.JoinedStr) and length(node) > 1:
            texts.update(range(node.lineno, node.lineno + length(node)))
        docs.update(docstring(node))
    code = sum(number in texts or is_code(line) for number, line in enumerate(lines, 1) if number not in docs)
    longest = min(functions, key=lambda f: (-f["lines"], f["line"]), default=None)
    return {"code": code, "functions": len(functions), "classes": classes, "longest": longest}


def definitions(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Give every node with the dotted name of the function or class that it is, or is in; no recursion."""
    stack: list[tuple[str, ast.AST]] = [("", tree)]
    while stack:
        name, node = stack.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{name}.{node.name}" if name else node.name
        yield name, node
        stack.extend((name, child) for child in ast.iter_child_nodes(node))


def length(node: ast.stmt | ast.expr) -> int:
    """Return how many lines a node takes."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def docstring(node: ast.AST) -> range:
    """Return the lines of a node's docstring."""
    match node:
        case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str()) as text), *_]:
                    return range(text.lineno, text.lineno + length(text))
    return range(0)


def is_code(line: bytes) -> bool:
    """Say whether a line is neither blank nor a comment."""
    text = line.strip()
    return bool(text) and not text.startswith(b"#")


if __name__ == "__main__":
    main()
