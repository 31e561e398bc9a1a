# SPDX-License-Identifier: Apache-2.0
"""The settings file: YAML, errors in it, and their positions."""

from pathlib import Path

import pytest

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings import load

EXAMPLE = """\
broker_url: redis://:pw@h/1
events: {exemplars: no}
queues:
  names: [a, b]
  discovery_interval: 0
workers:
  lost_after_by_worker: {"solo@*": 10m}
buckets:
  celery_task_wait_seconds: [0.1, 1, 10]
log:
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of a settings file that does not exist yet."""
    return tmp_path / "settings.yaml"


def test_yaml_values_are_taken_as_they_are(file: Path) -> None:
    """Lists, mappings, numbers and booleans of YAML need no quoting; an empty group changes nothing."""
    file.write_text(EXAMPLE)
    settings = load([f"--config.file={file}"], {})
    assert (("a", "b"), 0) == (settings.queues.names, settings.queues.discovery_interval)
    assert settings.events.exemplars is False
    assert {"solo@*": 600} == settings.workers.lost_after_by_worker
    assert {"celery_task_wait_seconds": (0.1, 1, 10)} == settings.buckets
    assert settings.log.level == "info"


def test_an_empty_file_changes_nothing(file: Path) -> None:
    """A file of comments yields the defaults."""
    file.write_text("# nothing yet\n")
    assert load([f"--config.file={file}"], {}).queues == load([], {}).queues


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("queues:\n  names: [a\nlog: {}\n", ":3: is not valid YAML"),
        ("a: b: c\n", ":1: is not valid YAML"),
        ("\x00", ": is not valid YAML"),
        ("queues: {max: 1}\n---\nlog: {}\n", ":2: begins a second YAML document, which would not be read; remove"),
        ("---\nqueues: {max: 1}\n...\n---\n", ":4: begins a second YAML document"),
        ("- a\n", ": must be a mapping of settings"),
        ("queues: {nmes: [a]}\n", ": queues.nmes: no such setting; did you mean queues.names?"),
        ("queus: {}\n", ": queus: no such setting"),
        ("queues.names: [a]\n", ": queues.names: write it in levels, as in queues: {names: ...}"),
        ("redis: {key_space.interval: 1}\n", ": redis.key_space.interval: write it in levels, as in key_space: {int"),
        ("redis.key_space: {interval: 1}\n", ": redis.key_space: write it in levels, as in redis: {key_space: {...}}"),
        ("queues.nmes: [a]\n", ": queues.nmes: no such setting; did you mean queues.names?"),
        ("queues: 5\n", ": queues: must be a group of settings"),
        ("queues: {max: many}\n", ": queues.max: must be a whole number, not 'many'"),
        ("queues: {max: true}\n", ": queues.max: must be a whole number"),
        ("queues: {names: {a: 1}}\n", ": queues.names: must be a list"),
        ("workers: {lost_after: yes}\n", ": workers.lost_after: must be a duration"),
        ("config: {file: x}\n", ": config.file: a file can't name another"),
        ("queues: {max: 1}\nlog: {}\nqueues: {names: [a]}\n", ":3: queues: is already set on line 1; keep one"),
        ("queues:\n  max: 1\n  max: 2\n", ":3: queues.max: is already set on line 2; keep one"),
        ("tasks:\n  1: {}\n  '1': {}\n", ":3: tasks.1: is already set on line 2; keep one"),
        ("redis:\n  servers:\n  - {a: 1,\n     a: 2}\n", ":4: redis.servers.a: is already set on line 3; keep one"),
    ],
)
def test_a_mistake_is_told_with_the_file(file: Path, text: str, message: str) -> None:
    """The message starts with the file and names the line or the key."""
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load([], {"EXPORTER_CONFIG__FILE": str(file)})
    assert str(caught.value).startswith(f"{file}{message}")


def test_a_missing_file_is_told_with_the_setting(file: Path) -> None:
    """The message names the setting with the path of the file."""
    with pytest.raises(ConfigError) as caught:
        load([f"--config.file={file}"], {})
    assert f"--config.file: can't read {file}: No such file or directory" == str(caught.value)


def test_a_merged_key_can_be_overridden(file: Path) -> None:
    """A key that replaces one of a YAML merge (``<<``) is set once, in whichever order they are written."""
    merged = "tasks: {a: &a {runtime_threshold: 1}, b: {<<: *a, runtime_threshold: 2}}\n"
    file.write_text(f"redis: {{<<: {{metrics: core}}, metrics: full}}\n{merged}")
    settings = load([f"--config.file={file}"], {})
    assert "full" == settings.redis.metrics
    assert [1, 2] == [settings.tasks[name].runtime_threshold for name in "ab"]


def test_aliases_of_aliases_take_no_time(file: Path) -> None:
    """A file whose aliases expand to billions of mappings is checked once for each mapping that it contains."""
    levels = "".join(f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    file.write_text(f"tasks:\n  a0: &a0 {{x: 1}}\n{levels}  a0: 1\n")
    with pytest.raises(ConfigError, match=r":32: tasks.a0: is already set on line 2; keep one$"):
        load([f"--config.file={file}"], {})
