"""Templates: text, lists and maps with ``{{ ... }}`` in them, compiled once and rendered safely (LANGUAGE 7).

The public face is :func:`compile_value`, :func:`compile_condition`, :class:`Template`, :class:`Reads`,
:class:`Scope`, :class:`ExpressionSyntaxError` and :class:`EvaluationError`.
"""
