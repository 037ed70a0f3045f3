"""From syntax trees to closures: an expression is a tree of small Python functions of a frame.

Jinja's nodes say what was written; nothing of Jinja runs. So there are no attributes, methods or callables of
Python to be reached: a field is a key of a map or an index of a list, and a call names a function of ours.
Each closure returns JSON if its parts do, so a result needs no check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jinja2 import nodes

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.faults import Fault, Missing, did_you_mean
from dramaturg.engine.expressions.forms import FORMS, bind, constant, is_defined
from dramaturg.engine.expressions.functions import FUNCTIONS, LEFT_OUT, TESTS
from dramaturg.engine.expressions.names import LATEST, WORDS, Resolver, Step
from dramaturg.engine.expressions.operators import ARITHMETIC, COMPARISONS, Binary, negative, positive
from dramaturg.engine.expressions.sandbox import (
    NOT_LOOKED_AT,
    Evaluate,
    Frame,
    in_text,
    name_type,
    number,
    text,
)
from dramaturg.engine.expressions.scope import Names
from dramaturg.engine.secret import Secret


class Builder:
    """Builds one expression; every problem is gathered, so that all are reported at once."""

    def __init__(self, names: Names, *, words: bool) -> None:
        #: Whether succeeded, failed ... need no parentheses: in conditions.
        self.words = words
        self.resolver = Resolver(names)
        self.problems: list[Fault] = []
        #: What is literal among the arguments of calls.
        self.literals: dict[Evaluate, JSON] = {}

    def build(self, node: nodes.Node) -> Evaluate:
        """Return what evaluates *node*; after a problem, something that is never run."""
        method = self._BUILDERS.get(type(node))
        try:
            if method is None:
                raise Fault("this is not part of the language")
            return method(self, node)
        except Fault as fault:
            if fault.offset is None:
                fault.offset = node.lineno
            self.problems.append(fault)
            return constant(None)

    def _all(self, parts: Sequence[nodes.Node]) -> list[Evaluate]:
        return [self.build(part) for part in parts]

    def _const(self, node: nodes.Const) -> Evaluate:
        value = node.value
        if type(value) is str:
            text(value)
        elif type(value) in (int, float):
            number(value)
        made = constant(value)
        self.literals[made] = value
        return made

    def _list(self, node: nodes.List | nodes.Tuple) -> Evaluate:
        parts = self._all(node.items)
        return lambda frame: [part(frame) for part in parts]

    def _dict(self, node: nodes.Dict) -> Evaluate:
        pairs = [(self.build(pair.key), self.build(pair.value)) for pair in node.items]

        def evaluate(frame: Frame) -> JSON:
            made = {}
            for key, value in pairs:
                name = key(frame)
                if type(name) is not str:
                    raise Fault(f"the keys of a map are texts, not {name_type(name)}", node.lineno)
                made[name] = value(frame)
            return made

        return evaluate

    def _name(self, node: nodes.Name) -> Evaluate:
        if self.words and node.name in WORDS:
            return self.resolver.outcome(node.name)
        return self.resolver.resolve(node.name, [], node.lineno)[0]

    def _field(self, node: nodes.Getattr | nodes.Getitem) -> Evaluate:
        """Build fields and keys: the name at their root with its literal steps first, then the rest."""
        links: list[nodes.Getattr | nodes.Getitem] = []
        root: nodes.Node = node
        while isinstance(root, nodes.Getattr | nodes.Getitem):
            links.append(root)
            root = root.node
        links.reverse()
        if not isinstance(root, nodes.Name) or (self.words and root.name in WORDS):
            return self._follow(self.build(root), _written(root), links)
        steps = self._steps(links)
        try:
            value, path, used = self.resolver.resolve(root.name, steps, root.lineno)
        except Fault as fault:
            fault.offset = root.lineno if fault.offset is None else fault.offset
            raise
        return self._follow(value, path, links[used:])

    def _steps(self, links: Sequence[nodes.Getattr | nodes.Getitem]) -> list[Step]:
        """Return the literal keys that come before the first computed one."""
        steps: list[Step] = []
        for link in links:
            if isinstance(link, nodes.Getattr):
                steps.append(Step(link.attr, link.lineno + 1))
            elif isinstance(link.arg, nodes.Const):
                steps.append(Step(link.arg.value, link.lineno + 1))
            else:
                break
        return steps

    def _follow(self, value: Evaluate, path: str, links: Sequence[nodes.Getattr | nodes.Getitem]) -> Evaluate:
        for link in links:
            if isinstance(link, nodes.Getattr):
                value = _literal_field(value, link.attr, path, link.lineno)
                path = f"{path}.{link.attr}"
            elif isinstance(link.arg, nodes.Slice):
                value = self._slice(value, link.arg, link.lineno)
                path = f"{path}[:]"
            elif isinstance(link.arg, nodes.Const):
                value = _literal_field(value, link.arg.value, path, link.lineno)
                path = f"{path}{_bracketed(link.arg.value)}"
            else:
                value = _computed_field(value, self.build(link.arg), path, link.lineno)
                path = f"{path}[…]"
        return value

    def _slice(self, value: Evaluate, node: nodes.Slice, offset: int) -> Evaluate:
        parts = [self.build(part) if part else constant(None) for part in (node.start, node.stop, node.step)]

        def evaluate(frame: Frame) -> JSON:
            whole = value(frame)
            if type(whole) is Secret:
                raise Fault(NOT_LOOKED_AT, offset)
            if type(whole) not in (list, str):
                raise Fault(f"{name_type(whole)} has no slices: a list or a text has", offset)
            bounds = [part(frame) for part in parts]
            if any(type(bound) not in (int, type(None)) for bound in bounds) or bounds[2] == 0:
                raise Fault("a slice wants integers, and a step that is not 0", offset)
            frame.build(len(range(*slice(*bounds).indices(len(whole)))))
            return whole[slice(*bounds)]

        return evaluate

    def _call(self, node: nodes.Call) -> Evaluate:
        if not isinstance(node.node, nodes.Name):
            hint = "fields are always data"
            if isinstance(node.node, nodes.Getattr) and node.node.attr in FUNCTIONS:
                hint = f"write {node.node.attr}(x) or x | {node.node.attr}"
            raise Fault("only functions can be called, not values", hint=hint)
        name = node.node.name
        if name in WORDS or name in LATEST:
            if node.args or node.kwargs or node.dyn_args or node.dyn_kwargs:
                raise Fault(f"{name}() takes no arguments")
            latest = name in LATEST
            return _located(
                self.resolver.latest(name) if latest else self.resolver.outcome(name), node.lineno
            )
        return self._function(name, node, node.args, node.node.lineno)

    def _filter(self, node: nodes.Filter) -> Evaluate:
        if node.node is None or node.name in WORDS or node.name in LATEST:
            raise Fault(f"{node.name!r} is not a filter")
        return self._function(node.name, node, [node.node, *node.args], node.lineno)

    def _function(
        self, name: str, node: nodes.Call | nodes.Filter, args: Sequence[nodes.Expr], offset: int
    ) -> Evaluate:
        given, named = self._arguments(node, args)
        try:
            if name in FORMS:
                return _located(FORMS[name](given, named, self.literals), offset)
            if name not in FUNCTIONS:
                hint = LEFT_OUT.get(name) or did_you_mean(name, {*FUNCTIONS, *FORMS, *WORDS, *LATEST})
                raise Fault(f"there is no function {name!r}", offset, hint=hint)
            return _located(bind(FUNCTIONS[name], given, named, self.literals), offset)
        except Fault as fault:
            fault.offset = offset
            raise

    def _arguments(
        self, node: nodes.Call | nodes.Filter | nodes.Test, args: Sequence[nodes.Expr]
    ) -> tuple[list[Evaluate], dict[str, Evaluate]]:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            raise Fault("arguments are written out: * and ** are not part of the language")
        named = {str(pair.key): self.build(pair.value) for pair in node.kwargs}
        if len(named) < len(node.kwargs):
            raise Fault("an argument is given twice")
        return self._all(args), named

    def _test(self, node: nodes.Test) -> Evaluate:
        if node.name in ("defined", "undefined") and not node.args and not node.kwargs:
            there = is_defined(self.build(node.node))
            return there if node.name == "defined" else lambda frame: not there(frame)
        if node.name not in TESTS:
            raise Fault(f"there is no test {node.name!r}", hint=did_you_mean(node.name, TESTS))
        given, named = self._arguments(node, [node.node, *node.args])
        return _located(bind(TESTS[node.name], given, named, self.literals), node.lineno)

    def _conditional(self, node: nodes.CondExpr) -> Evaluate:
        test, then = self.build(node.test), self.build(node.expr1)
        other = self.build(node.expr2) if node.expr2 is not None else constant(None)
        return lambda frame: then(frame) if test(frame) else other(frame)

    def _and(self, node: nodes.And) -> Evaluate:
        left, right = self.build(node.left), self.build(node.right)
        return lambda frame: left(frame) and right(frame)

    def _or(self, node: nodes.Or) -> Evaluate:
        left, right = self.build(node.left), self.build(node.right)
        return lambda frame: left(frame) or right(frame)

    def _not(self, node: nodes.Not) -> Evaluate:
        value = self.build(node.node)
        return lambda frame: not value(frame)

    def _sign(self, node: nodes.UnaryExpr) -> Evaluate:
        value = self.build(node.node)
        apply = negative if isinstance(node, nodes.Neg) else positive
        return _located(lambda frame: apply(frame, value(frame)), node.lineno)

    def _binary(self, node: nodes.BinExpr) -> Evaluate:
        return _two(
            ARITHMETIC[type(node).__name__], self.build(node.left), self.build(node.right), node.lineno
        )

    def _concat(self, node: nodes.Concat) -> Evaluate:
        parts = self._all(node.nodes)
        return lambda frame: in_text(frame, [part(frame) for part in parts])

    def _compare(self, node: nodes.Compare) -> Evaluate:
        left = self.build(node.expr)
        if len(node.ops) == 1:
            operand = node.ops[0]
            return _two(COMPARISONS[operand.op], left, self.build(operand.expr), node.lineno)
        chain = [(COMPARISONS[operand.op], self.build(operand.expr)) for operand in node.ops]

        def evaluate(frame: Frame) -> JSON:
            value = left(frame)
            for compare, operand in chain:
                other = operand(frame)
                if not compare(frame, value, other):
                    return False
                value = other
            return True

        return _located(evaluate, node.lineno)

    _BUILDERS: Mapping[type[nodes.Node], Callable[[Builder, Any], Evaluate]] = {
        nodes.Const: _const,
        nodes.List: _list,
        nodes.Tuple: _list,
        nodes.Dict: _dict,
        nodes.Name: _name,
        nodes.Getattr: _field,
        nodes.Getitem: _field,
        nodes.Call: _call,
        nodes.Filter: _filter,
        nodes.Test: _test,
        nodes.CondExpr: _conditional,
        nodes.And: _and,
        nodes.Or: _or,
        nodes.Not: _not,
        nodes.Neg: _sign,
        nodes.Pos: _sign,
        nodes.Concat: _concat,
        nodes.Compare: _compare,
        nodes.Add: _binary,
        nodes.Sub: _binary,
        nodes.Mul: _binary,
        nodes.Div: _binary,
        nodes.FloorDiv: _binary,
        nodes.Mod: _binary,
        nodes.Pow: _binary,
    }


def _located(value: Evaluate, offset: int) -> Evaluate:
    """Return *value* so that its faults say where they happened."""

    def evaluate(frame: Frame) -> JSON:
        try:
            return value(frame)
        except Fault as fault:
            if fault.offset is None:
                fault.offset = offset
            raise

    return evaluate


def _two(apply: Binary, left: Evaluate, right: Evaluate, offset: int) -> Evaluate:
    def evaluate(frame: Frame) -> JSON:
        try:
            return apply(frame, left(frame), right(frame))
        except Fault as fault:
            if fault.offset is None:
                fault.offset = offset
            raise

    return evaluate


def _literal_field(value: Evaluate, key: JSON, path: str, offset: int) -> Evaluate:
    def evaluate(frame: Frame) -> JSON:
        whole = value(frame)
        if type(whole) is dict and key in whole:
            return whole[key]
        return _element(whole, key, path, offset)

    return evaluate


def _computed_field(value: Evaluate, key: Evaluate, path: str, offset: int) -> Evaluate:
    return lambda frame: _element(value(frame), key(frame), path, offset)


def _element(whole: JSON, key: JSON, path: str, offset: int) -> JSON:
    """Return what stands under *key*: a field of a map, an element of a list, a character of a text.

    Raises:
        Missing: nothing does; the message begins with the path as written.
    """
    if type(whole) is Secret or type(key) is Secret:
        raise Fault(NOT_LOOKED_AT, offset)
    where = f"{path}{_bracketed(key)}"
    if type(whole) is dict:
        if type(key) is str and key in whole:
            return whole[key]
        near = whole if type(key) is str else ()
        raise Missing(f"{where}: no {_shown(key)}", offset, name=str(key), known=near)
    if type(whole) in (list, str) and type(key) is int:
        if -len(whole) <= key < len(whole):
            return whole[key]
        raise Missing(f"{where}: {path} has {len(whole)} elements", offset)
    raise Missing(f"{where}: no {_shown(key)}, {path} is {name_type(whole)}", offset)


def _bracketed(key: JSON) -> str:
    if type(key) is str and key.isidentifier():
        return f".{key}"
    return f"[{_shown(key)}]"


def _shown(key: JSON) -> str:
    shown = repr(key) if type(key) in (str, int) else name_type(key)
    return shown if len(shown) <= 80 else shown[:80] + "…"


def _written(node: nodes.Node) -> str:
    """Return how the root of a path reads in messages."""
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name):
        return f"{node.node.name}({'…' if node.args or node.kwargs else ''})"
    return "(…)"
