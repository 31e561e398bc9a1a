# SPDX-License-Identifier: Apache-2.0
"""Go's text templates with those of Helm's functions that the chart uses.

Takes the texts of templates and what stands for the dot, gives text. Knows ``if``, ``else if``, ``with``, ``range``,
``define``, variables and pipelines. Raises ValueError for anything else, so that a chart which needs more than this is
noticed; what a template means where both know it is compared with Go's own engine by ``render.go``.
"""

import fnmatch
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import yaml

from tests.support import yaml_text

ACTION = re.compile(r"(\{\{-?)\s*(.*?)\s*(-?\}\})", re.DOTALL)
TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|-?\d+|\$?\w*(?:\.\w+)+|\$\w*|\.|\w+|:=|[|(),])')


@dataclass
class Node:
    """A piece of a template: text, an action, or a block with what stands in it and behind its else."""

    kind: str
    text: str
    body: list["Node"] = field(default_factory=list)
    otherwise: list["Node"] = field(default_factory=list)


@dataclass(frozen=True)
class Scope:
    """The dot, and the variables by name with their dollar sign."""

    dot: Any
    variables: dict[str, Any]

    def with_dot(self, dot: object, **variables: object) -> "Scope":
        """Give a scope of its own to a block."""
        return Scope(dot, self.variables | {f"${name}": value for name, value in variables.items()})


class Files:
    """A chart's files, as ``.Files`` has them."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def Get(self, path: str) -> str:  # noqa: N802 -- Helm's name
        """Give a file; empty where there is none."""
        return self._texts.get(path, "")

    def Glob(self, pattern: str) -> dict[str, str]:  # noqa: N802 -- Helm's name
        """Give the files whose paths match."""
        return {path: text for path, text in sorted(self._texts.items()) if fnmatch.fnmatchcase(path, pattern)}


class Engine:
    """Renders templates that share their definitions."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._defined: dict[str, list[Node]] = {}
        self._templates = {name: self._parse(text) for name, text in texts.items()}
        self._functions: dict[str, Callable[..., Any]] = {**FUNCTIONS, "include": self._include}

    def render(self, name: str, dot: Mapping[str, Any]) -> str:
        """Render one template."""
        return self._run(self._templates[name], Scope(dot, {"$": dot}))

    def _include(self, name: str, dot: object) -> str:
        return self._run(self._defined[name], Scope(dot, {"$": dot}))

    def _parse(self, text: str) -> list[Node]:
        nodes, closed = self._parse_block(split(text))
        if closed:
            raise ValueError(f"{closed} without a beginning")
        return nodes

    def _parse_block(self, nodes: Iterator[Node]) -> tuple[list[Node], str]:
        """Read up to an else or an end; give what was read, and which of the two it was."""
        block: list[Node] = []
        for node in nodes:
            word = node.text.split(maxsplit=1)[0] if node.kind == "action" and node.text else ""
            if word in {"end", "else"}:
                return block, node.text
            if word == "define":
                name = json.loads(node.text.split(maxsplit=1)[1])
                self._defined[name], _ = self._parse_block(nodes)
            elif word in {"if", "with", "range"}:
                block.append(self._parse_branch(word, node.text.split(maxsplit=1)[1], nodes))
            else:
                block.append(node)
        return block, ""

    def _parse_branch(self, word: str, expression: str, nodes: Iterator[Node]) -> Node:
        branch = Node(word, expression)
        branch.body, closed = self._parse_block(nodes)
        if closed.startswith("else if "):
            branch.otherwise = [self._parse_branch("if", closed.removeprefix("else if "), nodes)]
        elif closed == "else":
            branch.otherwise, closed = self._parse_block(nodes)
        if not closed:
            raise ValueError(f"{word} {expression} without an end")
        return branch

    def _run(self, nodes: Sequence[Node], scope: Scope) -> str:
        return "".join(self._run_node(node, scope) for node in nodes)

    def _run_node(self, node: Node, scope: Scope) -> str:
        if node.kind == "text":
            return node.text
        if node.kind == "action":
            name, assigns, pipeline = node.text.rpartition(":=")
            value = self._evaluate(pipeline, scope)
            if assigns:
                scope.variables[name.strip()] = value
                return ""
            return show(value)
        if node.kind == "range":
            return self._run_range(node, scope)
        value = self._evaluate(node.text, scope)
        if not value:
            return self._run(node.otherwise, scope)
        return self._run(node.body, scope.with_dot(value if node.kind == "with" else scope.dot))

    def _run_range(self, node: Node, scope: Scope) -> str:
        names, _, pipeline = node.text.rpartition(":=")
        value = self._evaluate(pipeline, scope) or {}
        pairs = sorted(value.items()) if isinstance(value, Mapping) else list(enumerate(value))
        keys = [name.strip().lstrip("$") for name in names.split(",") if name.strip()]
        done = []
        for key, item in pairs:
            named = dict(zip(keys, (key, item) if len(keys) > 1 else (item,), strict=True)) if keys else {}
            done.append(self._run(node.body, scope.with_dot(item, **named)))
        return "".join(done) if pairs else self._run(node.otherwise, scope)

    def _evaluate(self, text: str, scope: Scope) -> Any:  # noqa: ANN401 -- a value of a template
        tokens = tokenize(text)
        value = self._pipeline(tokens, scope)
        if tokens:
            raise ValueError(f"{text}: left over: {tokens}")
        return value

    def _pipeline(self, tokens: list[str], scope: Scope) -> Any:  # noqa: ANN401 -- as above
        value = self._command(tokens, scope, ())
        while tokens and tokens[0] == "|":
            tokens.pop(0)
            value = self._command(tokens, scope, (value,))
        return value

    def _command(self, tokens: list[str], scope: Scope, piped: tuple[Any, ...]) -> Any:  # noqa: ANN401 -- as above
        head = self._operand(tokens, scope)
        arguments = []
        while tokens and tokens[0] not in {"|", ")"}:
            arguments.append(self._operand(tokens, scope))
        arguments += piped
        if callable(head):
            return head(*arguments)
        if arguments:
            raise ValueError(f"{head!r} takes no arguments")
        return head

    def _operand(self, tokens: list[str], scope: Scope) -> Any:  # noqa: ANN401 -- as above
        token = tokens.pop(0)
        if token == "(":
            value = self._pipeline(tokens, scope)
            tokens.pop(0)
            return value
        if token[0] == '"':
            return json.loads(token)
        if re.fullmatch(r"-?\d+", token):
            return int(token)
        if token in {"true", "false"}:
            return token == "true"
        if token[0] not in ".$":
            if token not in self._functions:
                raise ValueError(f"no function {token}")
            return self._functions[token]
        start, *names = token.split(".")
        value = scope.variables[start] if start else scope.dot
        for name in filter(None, names):
            value = value.get(name) if isinstance(value, Mapping) else getattr(value, name)
        return value


def split(text: str) -> Iterator[Node]:
    """Split a template into texts and actions; comments go, and blanks where a dash asks for it."""
    position, trims = 0, False
    for found in ACTION.finditer(text):
        before = text[position : found.start()]
        before = before.lstrip() if trims else before
        yield Node("text", before.rstrip() if found[1].endswith("-") else before)
        if not found[2].startswith("/*"):
            yield Node("action", found[2])
        position, trims = found.end(), found[3].startswith("-")
    rest = text[position:]
    yield Node("text", rest.lstrip() if trims else rest)


def tokenize(text: str) -> list[str]:
    """Split a pipeline into its words; raise ValueError for what is none."""
    tokens, position, text = [], 0, text.strip()
    while position < len(text):
        found = TOKEN.match(text, position)
        if not found:
            raise ValueError(f"{text}: not understood from {text[position:]!r} on")
        tokens.append(found[1])
        position = found.end()
    return tokens


def show(value: object) -> str:
    """Print a value as Go does."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int):
        return str(value)
    raise ValueError(f"{value!r} in the text")


def indent(columns: int, text: str) -> str:
    """Put blanks before each line."""
    return "\n".join(" " * columns + line for line in text.split("\n"))


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "and": lambda *values: next((value for value in values if not value), values[-1]),
    "base": lambda path: PurePosixPath(path).name,
    "contains": lambda part, text: part in text,
    "default": lambda other, value=None: value or other,
    "eq": lambda left, *others: left in others,
    "fromYaml": yaml_text.parse,
    "indent": indent,
    "nindent": lambda columns, text: "\n" + indent(columns, text),
    "not": lambda value: not value,
    "or": lambda *values: next((value for value in values if value), values[-1]),
    "printf": lambda form, *values: form % values,
    "quote": lambda value: json.dumps(show(value), ensure_ascii=False),
    "sha256sum": lambda text: hashlib.sha256(text.encode()).hexdigest(),
    "toYaml": lambda value: yaml.safe_dump(value, width=10**6, allow_unicode=True).removesuffix("\n"),
    "trim": lambda text: text.strip(),
    "trimSuffix": lambda suffix, text: text.removesuffix(suffix),
    "trunc": lambda length, text: text[:length],
}
