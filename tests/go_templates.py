"""The part of Go's text/template that the Modelfiles here are written in, read and run: slow, obvious, and apart from
what writes them.

Actions: string literals, ``.Field``, ``range $i, $x := .List``, ``$x := eq …``, ``if``, ``else if``, ``else``, ``end``,
the functions eq, len and slice; ``{{-`` takes the white space of the text before it.
"""

import ast
import re
from typing import Any

_ACTION = re.compile(r'\{\{(-?)\s*((?:"(?:[^"\\]|\\.)*"|[^"])*?)\s*(-?)\}\}', re.DOTALL)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\(|\)|:=|,|[^\s()",]+')


def rendered(template: str, data: dict[str, Any]) -> str:
    """What Go would write."""
    tokens = _pieces(template)
    nodes, rest = _parse(tokens)
    assert not rest, f"left over: {rest}"
    return _run(nodes, data, {"$": data})


def _pieces(template: str) -> list[tuple[str, str]]:
    pieces: list[tuple[str, str]] = []
    at, trims = 0, False
    for match in _ACTION.finditer(template):
        text = template[at : match.start()]
        text = text.lstrip() if trims else text
        pieces.append(("text", text.rstrip() if match[1] else text))
        pieces.append(("action", match[2]))
        at, trims = match.end(), bool(match[3])
    pieces.append(("text", template[at:].lstrip() if trims else template[at:]))
    return pieces


def _parse(pieces: list[tuple[str, str]]) -> tuple[list[Any], list[tuple[str, str]]]:
    nodes: list[Any] = []
    while pieces:
        (kind, content), pieces = pieces[0], pieces[1:]
        word = content.split(" ", 1)[0]
        if kind == "text":
            nodes.append(("text", content))
        elif word in ("end", "else"):
            return nodes, [(kind, content), *pieces]
        elif word == "range":
            inner, pieces = _parse(pieces)
            nodes.append(("range", content, inner))
            pieces = pieces[1:]
        elif word == "if":
            node, pieces = _branch(content.removeprefix("if "), pieces)
            nodes.append(node)
        else:
            nodes.append(("action", content))
    return nodes, []


def _branch(condition: str, pieces: list[tuple[str, str]]) -> tuple[Any, list[tuple[str, str]]]:
    inner, pieces = _parse(pieces)
    (_, closing), pieces = pieces[0], pieces[1:]
    if closing == "end":
        return ("if", condition, inner, []), pieces
    if closing == "else":
        other, pieces = _parse(pieces)
        return ("if", condition, inner, other), pieces[1:]
    other, pieces = _branch(closing.removeprefix("else if "), pieces)
    return ("if", condition, inner, [other]), pieces


def _run(nodes: list[Any], dot: Any, variables: dict[str, Any]) -> str:
    text = ""
    for node in nodes:
        if node[0] == "text":
            text += node[1]
        elif node[0] == "range":
            names, expression = node[1].removeprefix("range ").split(" := ")
            index, element = names.split(", ")
            for i, each in enumerate(_value(expression, dot, variables)):
                text += _run(node[2], each, {**variables, index: i, element: each})
        elif node[0] == "if":
            text += _run(node[2] if _value(node[1], dot, variables) else node[3], dot, variables)
        elif " := " in node[1]:
            name, expression = node[1].split(" := ", 1)
            variables[name] = _value(expression, dot, variables)
        else:
            text += str(_value(node[1], dot, variables))
    return text


def _value(expression: str, dot: Any, variables: dict[str, Any]) -> Any:
    values, rest = _arguments(_TOKEN.findall(expression), dot, variables)
    assert not rest
    return values


def _arguments(tokens: list[str], dot: Any, variables: dict[str, Any]) -> tuple[Any, list[str]]:
    values: list[Any] = []
    while tokens and tokens[0] != ")":
        token, tokens = tokens[0], tokens[1:]
        if token == "(":
            inner, tokens = _arguments(tokens, dot, variables)
            values.append(inner)
            tokens = tokens[1:]
        elif token.startswith('"'):
            values.append(ast.literal_eval(token))
        elif token.startswith("."):
            values.append(dot[token[1:]])
        elif token.startswith("$"):
            name, _, field = token.partition(".")
            values.append(variables[name][field] if field else variables[name])
        elif token.isdigit():
            values.append(int(token))
        else:
            values.append({"eq": lambda a, b: a == b, "len": len, "slice": lambda a, i: a[i:]}[token])
    if callable(values[0]):
        return values[0](*values[1:]), tokens
    (value,) = values
    return value, tokens
