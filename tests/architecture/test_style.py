"""The house style, where a machine can judge it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from sources import modules, texts, tree

MODULE_LINES = 500
FUNCTION_LINES = 60

#: Names that say nothing about what a module is for.
EMPTY_NAMES = {"utils", "helpers", "common", "misc"}


def public(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.AST]]:
    """Return the public functions and classes of a module, and the public methods of those classes."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name.startswith("_"):
                continue
            yield f"{prefix}.{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{prefix}.{node.name}")


def is_obvious(node: ast.AST) -> bool:
    """Say whether a method needs no sentence of its own: an override or overload that says it is one."""
    decorators = getattr(node, "decorator_list", [])
    return any(ast.unparse(d).rpartition(".")[2] in {"override", "overload", "setter"} for d in decorators)


def test_modules_are_short() -> None:
    """No module has 500 lines: a long one holds two ideas."""
    lengths = {name: len(path.read_text().splitlines()) for name, path in modules().items()}
    assert {name: n for name, n in lengths.items() if n >= MODULE_LINES} == {}


def test_functions_are_short() -> None:
    """No function has 60 lines."""
    long = {}
    for name, path in modules().items():
        if ".migrations.versions." in name:
            continue  # a migration is a list
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines >= FUNCTION_LINES:
                    long[f"{name}.{node.name}"] = lines
    assert long == {}


def test_what_is_public_says_what_it_does() -> None:
    """Every public module, class, function and method has a docstring."""
    silent = [
        name for name, path in modules().items() if tree(path).body and not ast.get_docstring(tree(path))
    ]
    for name, path in modules().items():
        if ".migrations.versions." in name:
            continue
        silent += [
            where
            for where, node in public(tree(path).body, name)
            if not is_obvious(node) and not ast.get_docstring(node)  # type: ignore[arg-type]
        ]
    assert silent == []


def test_a_modules_name_says_what_it_is_for() -> None:
    """No module is called utils or the like."""
    assert [name for name in modules() if name.rpartition(".")[2] in EMPTY_NAMES] == []


def test_nothing_is_left_half_done_or_tied_to_one_machine() -> None:
    """No reminders, no stubs, no paths of the machine that a file was written on."""
    # Put together here, so that this file does not find itself.
    words = [
        "TO" + "DO",
        "FIX" + "ME",
        "XX" + "X",
        "NotImplemented" + "Error",
        "/" + "work/",
        "/" + "root/",
        "/tmp/" + "memo",
    ]
    words += ["py" + "env/versions/3.11"]
    pattern = re.compile("|".join(rf"(?<!\w){re.escape(word)}" for word in words))
    found = [
        f"{path}:{number}: {line.strip()}"
        for path, text in texts().items()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []
