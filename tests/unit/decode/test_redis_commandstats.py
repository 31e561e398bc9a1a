"""Lines of commandstats: the short way gives what reading field by field gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_redis_exporter.decode import redis_info
from celery_redis_exporter.decode.redis_commandstats import decode_command
from celery_redis_exporter.decode.redis_info import InfoDecoder

NUMBER = st.integers(min_value=0, max_value=10**19 - 1)
COMMAND = st.text(st.characters(exclude_characters=":\r\n", exclude_categories=["Cs"]), min_size=1, max_size=20)


def line(command: str, *numbers: object) -> str:
    """A line as Redis writes it since 6.2."""
    parts = ("calls", "usec", "usec_per_call", "rejected_calls", "failed_calls")
    told = ",".join(f"{part}={number}" for part, number in zip(parts, numbers, strict=True))
    return f"cmdstat_{command}:{told}"


def field_by_field(monkeypatch: pytest.MonkeyPatch, text: str) -> InfoDecoder:
    """A decoder that knows no short way."""
    monkeypatch.setattr(redis_info, "decode_command", lambda *_: None)
    return InfoDecoder(text)


@given(COMMAND, st.tuples(NUMBER, NUMBER, NUMBER.map("{}.25".format), NUMBER, NUMBER))
def test_both_ways_agree(command: str, numbers: tuple[object, ...]) -> None:
    """Whatever the command is called and the numbers are, samples and usage are the same."""
    text = line(command, *numbers).encode()
    short = InfoDecoder("r")
    found = short.decode(b"# Commandstats\r\n" + text, (), 0.0)
    with pytest.MonkeyPatch.context() as patched:
        long = field_by_field(patched, "r")
        assert long.decode(b"# Commandstats\r\n" + text, (), 0.0) == found
    assert 4 == len(found)
    assert long.usage == short.usage


@pytest.mark.parametrize(
    "text",
    [
        "cmdstat_get:calls=1,usec=2,usec_per_call=2.00",
        line("get", -1, 2, "2.00", 0, 0),
        line("get", 1, 2, "nan", 0, 0),
        line("get", "1.5", 2, "2.00", 0, 0),
        line("get", 10**19, 2, "2.00", 0, 0),
        line("get", 1, 2, "2.00", 0, 0) + ",slowlog_count=1",
        line("get", "", 2, "2.00", 0, 0),
        line("get", "\u0661", 2, "2.00", 0, 0),
        "cmdstat_:calls=1",
        "cmdstat_get",
        "db0:keys=1,expires=0",
    ],
)
def test_other_lines_are_left_to_the_long_way(text: str) -> None:
    """Older servers, more fields and what is no whole number are none of the short way's business."""
    assert decode_command("r", text.encode(), redis_info._COMMANDSTATS) is None
