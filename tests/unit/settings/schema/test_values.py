# SPDX-License-Identifier: Apache-2.0
"""Single values: the syntax that each kind of setting accepts and refuses."""

import pytest

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings import load
from celery_redis_exporter.settings.schema.values import parse_seconds, show_seconds


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90), ("1.5", 1.5), ("500ms", 0.5), ("30s", 30), ("5m", 300), ("1h", 3600), ("1h30m", 5400), ("2d", 172800)],
)
def test_durations_are_seconds_or_carry_a_unit(written: str, seconds: float) -> None:
    """Plain numbers are seconds, and units are added up."""
    assert seconds == load([f"--workers.lost-after={written}"], {}).workers.lost_after


@pytest.mark.parametrize("written", ["", "x", "5x", "5 s", "nan", "inf", "m", "-5s", "1h-30m", "true"])
def test_what_is_no_duration_is_refused(written: str) -> None:
    """The error for any other text names the flag and states how durations are written."""
    with pytest.raises(ConfigError, match=r"^--workers\.lost-after: must be a duration"):
        load([f"--workers.lost-after={written}"], {})


def test_truth_values_are_no_duration() -> None:
    """YAML's true is not accepted as one second."""
    with pytest.raises(ValueError, match="must be a duration"):
        parse_seconds(value=True)


@pytest.mark.parametrize("text", ["500ms", "30s", "1m", "1h", "2d", "90s"])
def test_seconds_are_shown_as_people_write_them(text: str) -> None:
    """A duration in its printed form is read as the same duration."""
    shown = show_seconds(float(str(parse_seconds(text))))
    assert parse_seconds(text) == parse_seconds(shown)


@pytest.mark.parametrize("written", ["a,b", '["a", "b"]', " a , b ,"])
def test_lists_are_comma_separated_or_json(written: str) -> None:
    """Both forms yield the same list, in flags and in the environment."""
    assert load([f"--queues.names={written}"], {}).queues.names == ("a", "b")
    assert load([], {"EXPORTER_QUEUES__NAMES": written}).queues.names == ("a", "b")


def test_a_repeated_list_flag_adds() -> None:
    """A list flag that is repeated yields the values of both."""
    assert load(["--queues.names=a", "--queues.names", "b"], {}).queues.names == ("a", "b")


def test_mappings_are_pairs_or_json() -> None:
    """A mapping is written as pairs with = and commas, or as a JSON object."""
    expected = {"solo@*": 600, "celery@a": 45}
    for written in ("solo@*=10m,celery@a=45", '{"solo@*": "10m", "celery@a": 45}'):
        settings = load([], {"EXPORTER_WORKERS__LOST_AFTER_BY_WORKER": written})
        assert expected == settings.workers.lost_after_by_worker


def test_booleans_are_switches() -> None:
    """Booleans are --x and --no-x as flags, and the usual words in the environment."""
    assert load(["--no-events.exemplars"], {}).events.exemplars is False
    assert load(["--events.exemplars"], {"EXPORTER_EVENTS__EXEMPLARS": "no"}).events.exemplars is True
    assert load([], {"EXPORTER_EVENTS__EXEMPLARS": "no"}).events.exemplars is False


def test_buckets_replace_the_catalogues() -> None:
    """Bucket bounds are set per histogram of the catalogue."""
    settings = load(['--buckets={"celery_task_wait_seconds": [1, 60]}'], {})
    assert {"celery_task_wait_seconds": (1, 60)} == settings.buckets


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ('--buckets={"celery_task_wait": [1]}', "did you mean celery_task_wait_seconds?"),
        ('--buckets={"celery_tasks_total": [1]}', "has no histogram 'celery_tasks_total'"),
        ('--buckets={"celery_task_wait_seconds": []}', "rising order"),
        ('--buckets={"celery_task_wait_seconds": [2, 1]}', "rising order"),
        ('--buckets={"celery_task_wait_seconds": [0, 1]}', "rising order"),
        ('--buckets={"celery_task_wait_seconds": [1, Infinity]}', "rising order"),
        ("--buckets=1", "must be a JSON object"),
        ('--buckets={"celery_task_wait_seconds": [1], "celery_task_wait_seconds": [2]}', "the same key twice"),
        ('--broker-transport-options={"sep": "1", "sep": "2"}', "the same key twice"),
        ("--workers.lost-after-by-worker=a=1,a=2", "the same key twice"),
        ("--queues.max=0", "--queues.max: must be 1 or more, not '0'"),
        ("--queues.max=1.5", "--queues.max: must be a whole number, not '1.5'"),
        ("--broker-transport-options.priority-steps=0,256", "must be 255 or less"),
        ("--broker-transport-options.priority-steps=", "at least one priority step"),
        ("--broker-transport-options.sep=", "must not be empty"),
        ("--workers.lost-after-by-worker=x", "name=value pairs"),
        ("--web.listen-address=9808", "must be HOST:PORT, :PORT or unix:PATH"),
        ("--web.listen-address=:99999", "must be HOST:PORT, :PORT or unix:PATH"),
        ("--web.listen-address=::1:9808", "IPv6 address in brackets"),
        ("--web.telemetry-path=metrics", "starts with /"),
        ("--web.telemetry-path=/", "other than /"),
        ("--web.telemetry-path=/-/ready", "must not start with /-"),
        ("--log.level=loud", "--log.level: must be 'debug', 'info', 'warning' or 'error', not 'loud'"),
        ("--scrape.deadline=0", "--scrape.deadline: must be more than 0"),
        ("--scrape.freshness=-1", "--scrape.freshness: must be 0 or more"),
        ("--celery.inspect-interval=-1", "--celery.inspect-interval: must be 0 or more"),
        ("--celery.inspect-interval=500ms", "--celery.inspect-interval: must be 1s or more, or 0"),
        ("--celery.inspect-timeout=0", "--celery.inspect-timeout: must be more than 0"),
        ("--celery.inspect-timeout=2m", "--celery.inspect-timeout: must be 60 or less"),
        ("--celery.inspect-max-bytes=0", "--celery.inspect-max-bytes: must be 1 or more"),
        ("--control-exchange=", "--control-exchange: must not be empty"),
    ],
)
def test_a_wrong_value_is_named_with_its_cure(flag: str, expected: str) -> None:
    """The message starts with the flag and states the valid values."""
    with pytest.raises(ConfigError) as caught:
        load([flag], {})
    assert str(caught.value).startswith(flag.partition("=")[0])
    assert expected in str(caught.value)


def test_words_are_independent_of_case() -> None:
    """Words are accepted in any case, because Celery writes INFO where Prometheus writes info."""
    assert load(["--log.level=DEBUG"], {}).log.level == "debug"
