# SPDX-License-Identifier: Apache-2.0
"""The class that a real traceback of Python names, whatever the exception's text contains."""

import json
import traceback
from collections.abc import Callable

import msgspec
import pytest
from celery.exceptions import Retry
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from celery_redis_exporter.decode.exceptions import exception_class
from celery_redis_exporter.decode.tracebacks import LONGEST_LOOK, class_in_traceback

HEADER = "Traceback (most recent call last):"
HANDLING = "During handling of the above exception, another exception occurred:"
CAUSE = "The above exception was the direct cause of the following exception:"
LINES = st.one_of(
    st.sampled_from([
        "ValueError: x", "KeyError", "proj.errors.Other: y", "  indented", "\tindented", "", HEADER, HANDLING, CAUSE,
        '  File "a.py", line 1, in f', "  | ValueError: z", '  |   File "a.py", line 1', "+---------------- 2 --------",
        "  + Exception Group Traceback (most recent call last):", r"a\nKeyError: b", "C:\\new\\x", '"""', "Näme: ü",
    ]),
    st.text(max_size=20),
)  # fmt: skip
TEXTS = st.lists(LINES, max_size=8).map("\n".join)
MODULES = st.sampled_from(["__main__", "builtins", "proj", "proj.errors.deep"])
NAMES = st.sampled_from(["MyError", "Größe", "_Private", "test.<locals>.Inner", "Outer.Inner"])
MORE = "\n\nmore\nlines"


class Order(BaseModel):
    """A model that refuses text that is not a number."""

    amount: int


def raised(error: BaseException) -> str:
    """Return the traceback of an exception, as the worker writes it."""
    try:
        raise error
    except BaseException:  # noqa: BLE001 -- also groups of them
        return traceback.format_exc()


def caught(act: Callable[[], object]) -> str:
    """Return the traceback of the exception that ``act`` raises."""
    try:
        act()
    except Exception:  # noqa: BLE001 -- any exception is the subject
        return traceback.format_exc()
    raise AssertionError("nothing was raised")


def as_json(text: str) -> bytes:
    """Return the field as kombu writes it into JSON."""
    return json.dumps(text).encode()


def named(text: str) -> str:
    """Return the class that is found in a traceback; both serializers must yield the same."""
    found = exception_class("", as_json(text))
    assert found == exception_class("", msgspec.Raw(as_json(text)))
    assert found == exception_class("", msgspec.msgpack.encode(text.encode("utf-8", "replace").decode()))
    return found


def make(module: str, name: str, text: str) -> Exception:
    """Return an exception of a class that was defined in this module."""
    kind: type[Exception] = type(name.rpartition(".")[2], (Exception,), {"__module__": module, "__qualname__": name})
    return kind(text)


@given(MODULES, NAMES, TEXTS)
def test_any_text(module: str, name: str, text: str) -> None:
    """The class is found whatever lines the text has, and wherever the class is defined."""
    error = make(module, name, text)
    trace = raised(error)
    assume(not any(f"\n{link}\n\n{head}" in trace for link in (HANDLING, CAUSE) for head in (HEADER, "  + Exc")))
    assert named(trace) == type(error).__name__


@given(TEXTS, TEXTS, st.booleans())
@example("x", "y\nValueError: z", True)  # noqa: FBT003 -- an example
def test_chained(first: str, second: str, is_cause: bool) -> None:  # noqa: FBT001 -- a property
    """The last of several chained exceptions counts."""
    assume(not any(f"\n{link}\n\n" in f"\n{second}\n" for link in (HANDLING, CAUSE)))

    def act() -> None:
        try:
            raise KeyError(first)
        except KeyError as error:
            if is_cause:
                raise make("proj", "Last", second) from error
            raise make("proj", "Last", second)  # noqa: B904 -- the context is the subject

    assert named(caught(act)) == "Last"


@given(TEXTS, st.integers(1, 20), st.integers(0, 3))
def test_groups(text: str, width: int, depth: int) -> None:
    """The class of an exception group is that of the group, whatever it contains."""
    assume(not any(f"{link}\n" in f"{text}\n" for link in (HANDLING, CAUSE)))
    inner: list[Exception] = [ValueError(text), *(KeyError(text) for _ in range(width))]
    for _ in range(depth):
        inner = [ExceptionGroup(text, inner), TypeError(text)]
    assert named(raised(ExceptionGroup(text, inner))) == "ExceptionGroup"
    assert named(raised(BaseExceptionGroup(text, [*inner, KeyboardInterrupt()]))) == "BaseExceptionGroup"


def _group_after_error() -> None:
    try:
        raise KeyError("x")
    except KeyError as error:
        raise ExceptionGroup("several", [ValueError("y"), make("proj", "Other", MORE)]) from error


def _error_after_group() -> None:
    try:
        raise ExceptionGroup("several", [ValueError("y")])
    except ExceptionGroup as error:
        raise RuntimeError(MORE) from error


def _noted() -> None:
    error = OSError("gone")
    error.add_note("KeyError: a note\nTypeError: its second line")
    raise error


def _recurse() -> None:
    _recurse()


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda: Order.model_validate({"amount": "many"}), "ValidationError"),
        (lambda: compile("a b", "proj/settings.py", "exec"), "SyntaxError"),
        (lambda: compile("def f():\na\n", "x.py", "exec"), "IndentationError"),
        (lambda: json.loads("{"), "JSONDecodeError"),
        (_recurse, "RecursionError"),
        (_noted, "OSError"),
        (_group_after_error, "ExceptionGroup"),
        (_error_after_group, "RuntimeError"),
    ],
)
def test_errors_of_every_kind(act: Callable[[], object], expected: str) -> None:
    """Errors of pydantic, of the compiler, with notes, in groups and from deep recursion are named."""
    assert named(caught(act)) == expected


def test_a_traceback_within_the_text() -> None:
    """A text that contains another process's traceback, as from a process pool, does not hide the class."""
    other = raised(make("proj", "Remote", MORE))
    assert named(raised(RuntimeError(f"the child failed:\n{other}"))) == "RuntimeError"
    assert named(raised(RuntimeError(f'\n"""\n{other}"""'))) == "RuntimeError"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1 validation error for Order\namount", "ValidationError"),
     ("Retry(Retry(...), 1 validation error", "ValidationError"),
     ("Retry(Retry(...), UnpickleableExceptionWrapper('a', 'B', ()), 1)", "ValidationError"),
     ("Retry(Retry(...), KeyError('x'), 1)", "KeyError")],
)  # fmt: skip
def test_the_cause_of_a_retry(text: str, expected: str) -> None:
    """A retry is counted under its cause, even if only the traceback names it; without a cause it is a Retry."""

    def retry() -> None:
        try:
            Order.model_validate({"amount": "many"})
        except ValueError as error:
            raise Retry(exc=error, when=1)  # noqa: B904 -- as Celery raises it

    trace = as_json(caught(retry))
    assert exception_class(text, trace) == expected
    assert exception_class("None", as_json(raised(Retry(when=1)))) == "Retry"
    assert exception_class("Retry(Retry(...), None, 1)", b"null") == "Retry"


@pytest.mark.parametrize("filler", ["a line of text\n", 'ü\\"\n', "x" * 99 + "\n"])
def test_a_long_text(filler: str) -> None:
    """A class before the last bytes of a field is unknown, and never a word of the text."""
    length = 2 * LONGEST_LOOK // len(filler)
    assert named(raised(ValueError(filler * length))) == "unknown"
    assert named(raised(ValueError(filler * (length // 40)))) == "ValueError"


def test_many_frames() -> None:
    """Frames before the last bytes of a field do not change the class."""
    frames = '  File "proj/deep.py", line 7, in f\n    g("a\\nKeyError: b")\n' * 5000
    assert class_in_traceback(as_json(f"{HEADER}\n{frames}proj.MyError: text\nKeyError: more\n")) == "proj.MyError"


@pytest.mark.parametrize("line", ['  File "\n', "\n", " \n", f"{HEADER}\n", "  | \n", f"\n{HANDLING}\n\n", "a:\n"])
def test_the_time_is_linear(line: str) -> None:
    """Lines that only begin like a traceback are read once."""
    assert class_in_traceback(as_json(f"{HEADER}\n" + line * (LONGEST_LOOK // len(line)))) in {"", "a", "During"}


@pytest.mark.parametrize(
    "field", [b"", b"null", b"7", b'"', b'"a', b"\xc0", b"\xff\xff", b'"\\ud800"', b"[1]", b'{"a": 1}']
)
def test_what_is_no_traceback(field: bytes) -> None:
    """A field of another shape names no class."""
    assert class_in_traceback(field) == ""
