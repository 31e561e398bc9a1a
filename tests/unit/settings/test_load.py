# SPDX-License-Identifier: Apache-2.0
"""The settings as a whole: sources of values, their precedence, errors, and secrets."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings import UsageRequested, load
from celery_redis_exporter.settings.schema.rows import describe


def refusal(argv: Sequence[str] = (), environ: dict[str, str] | None = None) -> str:
    """Load settings that must be refused, and return the message."""
    with pytest.raises(ConfigError) as caught:
        load(argv, environ or {})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_anything_every_setting_has_its_default() -> None:
    """Without flags, variables and a file the settings are the documented defaults."""
    settings = load([], {})
    assert settings.broker_url.get_secret_value() == "redis://localhost:6379/0"
    assert settings.web.listen_address == ":9808"
    assert (0, 3, 6, 9) == settings.broker_transport_options.priority_steps
    assert settings.broker_transport_options.sep == "\x06\x16"


def test_the_environment_of_the_process_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the variables of the mapping that is passed in are read."""
    monkeypatch.setenv("EXPORTER_WEB__LISTEN_ADDRESS", ":1")
    assert load([], {}).web.listen_address == ":9808"


def test_flag_before_environment_before_file_before_celery(tmp_path: Path) -> None:
    """If the source that wins is removed, the next one in the documented order wins."""
    file = tmp_path / "c.yaml"
    file.write_text("broker_url: redis://file\n")
    celery = {"CELERY_BROKER_URL": "redis://celery"}
    with_file = celery | {"EXPORTER_CONFIG__FILE": str(file)}
    with_variable = with_file | {"EXPORTER_BROKER_URL": "redis://variable"}
    seen = [
        load(argv, environ).redis_targets[0].server_key[0]
        for argv, environ in (
            (["--broker-url=redis://flag"], with_variable),
            ([], with_variable),
            ([], with_file),
            ([], celery),
            ([], {}),
        )
    ]
    assert ["flag", "variable", "file", "celery", "localhost"] == seen


def test_groups_are_merged_across_sources(tmp_path: Path) -> None:
    """A flag of a group leaves the file's other settings of that group unchanged."""
    file = tmp_path / "c.yaml"
    file.write_text("workers: {lost_after: 1m, max: 7}\n")
    settings = load([f"--config.file={file}", "--workers.max", "8"], {"EXPORTER_WORKERS__RETENTION": "2h"})
    assert (60, 8, 7200) == (settings.workers.lost_after, settings.workers.max, settings.workers.retention)


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    """The URL is the file's text without its last line break, and a second source for it is refused."""
    file = tmp_path / "url"
    file.write_text("redis://:p@h/1\n")
    environ = {"EXPORTER_BROKER_URL_FILE": str(file)}
    assert load([], environ).broker_url.get_secret_value() == "redis://:p@h/1"
    both = refusal([], environ | {"EXPORTER_BROKER_URL": "redis://x"})
    assert both.startswith("EXPORTER_BROKER_URL_FILE: EXPORTER_BROKER_URL is set too")
    gone = refusal([], {"EXPORTER_RESULT_BACKEND_URL_FILE": str(tmp_path / "gone")})
    assert f"EXPORTER_RESULT_BACKEND_URL_FILE: can't read {tmp_path / 'gone'}: No such file or directory" == gone


def test_celerys_result_backend_counts_only_when_it_is_redis() -> None:
    """Another backend is left out with a note, a Redis one is read."""
    other = load([], {"CELERY_RESULT_BACKEND": "db+postgresql://u:SECRET@h/x"})
    assert other.result_backend_url is None
    assert other.notes == ("CELERY_RESULT_BACKEND is not a Redis URL, so no result backend is read.",)
    redis = load([], {"CELERY_RESULT_BACKEND": "redis://results/1"})
    assert ["broker", "results"] == [target.name for target in redis.redis_targets]


def test_celerys_broker_that_carries_no_events_is_refused_by_its_name() -> None:
    """The message names the variable that the user set."""
    message = refusal([], {"CELERY_BROKER_URL": "sqs://u:SECRET@h"})
    assert message.startswith("CELERY_BROKER_URL: sqs:// carries no events")
    assert "SECRET" not in message


def test_results_on_the_brokers_server_are_no_second_target() -> None:
    """User, password, database and the form of the loopback address do not make a result backend another server."""
    settings = load(["--broker-url=redis://:a@localhost/0", "--result-backend-url=redis://u:b@127.0.0.1:6379/5"], {})
    assert ["broker"] == [target.name for target in settings.redis_targets]


def test_parameters_left_out_are_noted() -> None:
    """A URL parameter without effect is named for the log, without its value."""
    (note,) = load(["--broker-url=redis://:SECRET@h/0?socket_timeout=7"], {}).notes
    assert "socket_timeout of the broker URL are not used" in note
    assert "SECRET" not in note


def test_transport_options_are_celerys_own(tmp_path: Path) -> None:
    """Celery's whole dictionary can be pasted, options of its own connections included, and single ones overridden."""
    pasted = json.dumps({"visibility_timeout": 43200, "priority_steps": [9, 0, 9], "socket_timeout": 5})
    as_flag = load([f"--broker-transport-options={pasted}"], {}).broker_transport_options
    assert (43200, (0, 9)) == (as_flag.visibility_timeout, as_flag.priority_steps)
    mixed = load(
        ["--broker-transport-options.sep=:"],
        {"EXPORTER_BROKER_TRANSPORT_OPTIONS": pasted, "EXPORTER_BROKER_TRANSPORT_OPTIONS__FANOUT_PREFIX": "false"},
    ).broker_transport_options
    assert (43200, ":", False) == (mixed.visibility_timeout, mixed.sep, mixed.fanout_prefix)
    file = tmp_path / "c.yaml"
    file.write_text("broker_transport_options: {global_keyprefix: 'app:', fanout_prefix: '/{db}.x'}\n")
    from_file = load([f"--config.file={file}"], {}).broker_transport_options
    assert ("app:", "/{db}.x") == (from_file.global_keyprefix, from_file.fanout_prefix)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--broker-transport-options={"], "--broker-transport-options: must be a JSON object"),
        (
            ['--broker-transport-options={"visibility_timout": 1}'],
            "visibility_timout: no such setting; did you mean broker_transport_options.visibility_timeout?",
        ),
        (
            ['--broker-transport-options={"visibility_timeout": 0}'],
            "--broker-transport-options: visibility_timeout: must be more than 0",
        ),
        (
            ["--broker-transport-options={}", "--broker-transport-options.sep=:"],
            "--broker-transport-options: --broker-transport-options.sep is given too",
        ),
    ],
)
def test_wrong_transport_options_are_named(argv: list[str], expected: str) -> None:
    """An error inside the pasted options names the option."""
    assert expected in refusal(argv)


def test_no_secret_is_ever_shown(tmp_path: Path) -> None:
    """Secrets in every place and kind of mistake appear in no message and in no repr."""
    file = tmp_path / "c.yaml"
    secret = tmp_path / "secret"
    bad_urls = ["redis://:MARK@h:bad/0", "MARK", "sqs://MARK@h", "redis://h/0?password=MARK&MARK=1", "redis://h/MARK"]
    bad_urls += ["redis://:MA#MARK@h", "MARK://h", "redis://[MARK", "amqp://h:MARK", "amqp://h;redis://MARK@h"]
    bad_urls += ["sentinel://h:MARK/0", "sentinel://h/0;redis://MARK@h", "amqps://h?ssl_cert_reqs=MARK"]
    messages = []
    for url in bad_urls:
        file.write_text(json.dumps({"broker_url": url}))
        secret.write_text(url)
        messages += [
            refusal([f"--broker-url={url}"]),
            refusal(["--broker-url", url]),
            refusal([], {"EXPORTER_BROKER_URL": url}),
            refusal([], {"EXPORTER_BROKER_URL_FILE": str(secret)}),
            refusal([], {"EXPORTER_CONFIG__FILE": str(file)}),
            refusal([url]),
            refusal([f"--result-backend-url={url}"]),
        ]
    for text in ("broker_url: *MARK\n", "broker_url: [MARK\n", "a: b: MARK\n", 'x: "\\MARK"\n', "- MARK\n", "MARK\n"):
        file.write_text(text)
        messages.append(refusal([f"--config.file={file}"]))
    messages += [
        refusal(["--web.listen-address=redis://:MARK@h"]),
        refusal(["--queues.max=redis://:MARK@h"]),
        refusal(["--redis://:MARK@h"]),
        refusal(["--events.exemplars=MARK"]),
        refusal(["--broker-transport-options=MARK"]),
        refusal(["--nope=MARK"]),
        refusal(["--broker-url", "redis://h", "MARK"]),
    ]
    assert [] == [message for message in messages if "MARK" in message]
    good = load(["--broker-url=redis://MARK:MARK@h?ssl_password=MARK", "--result-backend-url=unix://:MARK@/s"], {})
    assert "MARK" not in f"{good!r} {good} {good.redis_targets!r} {good.notes} {vars(good)}"
    assert "MARK" in good.secrets
    urls = ["--broker-url=amqp://MARK:MARK@h//;amqp://MARK:MARK@i//", "--result-backend-url=sentinel://:MARK@h/0"]
    options = '{"master_name": "m", "sentinel_kwargs": {"password": "MARK"}}'
    good = load([*urls, f"--result-backend-transport-options={options}"], {})
    assert "MARK" not in f"{good!r} {good} {good.targets!r} {good.notes} {vars(good)}"
    assert "MARK" in good.secrets


def test_help_names_every_flag() -> None:
    """--help among the flags requests the usage, which lists every setting."""
    with pytest.raises(UsageRequested) as caught:
        load(["--web.listen-address=:1", "--help"], {})
    text = str(caught.value)
    for row in describe():
        assert row.flag in text
