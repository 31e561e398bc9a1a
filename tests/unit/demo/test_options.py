# SPDX-License-Identifier: Apache-2.0
"""The demo's flags."""

import pytest

from celery_redis_exporter.cli import main
from celery_redis_exporter.demo.options import DemoOptions, read_options
from celery_redis_exporter.errors import ConfigError


def test_without_flags_ports_are_chosen_and_nothing_ends_it() -> None:
    """Without flags the demo uses free ports and runs until it is stopped."""
    assert DemoOptions(port=None, redis_port=0, seconds=None) == read_options([])


def test_equals_sign_and_space_are_the_same() -> None:
    """Flags accept an equals sign or a space, as those of every other command."""
    spaced = read_options(["--port", "9900", "--redis-port", "6390", "--seconds", "2.5"])
    assert DemoOptions(9900, 6390, 2.5) == spaced == read_options(["--port=9900", "--redis-port=6390", "--seconds=2.5"])


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["--port=x"], "--port: must be a port"),
        (["--port=-1"], "--port: must be a port"),
        (["--port=65536"], "--port: must be a port"),
        (["--redis-port=1.5"], "--redis-port: must be a port"),
        (["--port"], "--port: "),
        (["--seconds=0"], "--seconds: must be a number of seconds above 0"),
        (["--seconds=inf"], "--seconds: must be a number of seconds above 0"),
        (["--seconds=nan"], "--seconds: must be a number of seconds above 0"),
        (["--por=1"], "unknown flag --por; did you mean --port?"),
        (["stray"], "unexpected argument"),
    ],
)
def test_wrong_flags_are_named_in_one_line(argv: list[str], named: str) -> None:
    """A wrong flag raises a ConfigError of one line that names it."""
    with pytest.raises(ConfigError) as caught:
        read_options(argv)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_flag(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The help is shown instead of starting anything."""
    assert main(["demo", flag]) == 0
    text = capsys.readouterr().out
    assert [name for name in ("--port", "--redis-port", "--seconds", "--help") if name not in text] == []


def test_a_wrong_flag_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """The command ends with exit code 2 before it starts anything."""
    assert main(["demo", "--port=x"]) == 2
    assert capsys.readouterr().err.startswith("celery-redis-exporter: error: --port")
