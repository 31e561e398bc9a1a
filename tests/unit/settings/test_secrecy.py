# SPDX-License-Identifier: Apache-2.0
"""No repr of settings and no message about wrong settings contains a secret."""

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from celery_redis_exporter.brokers.endpoints import Endpoints
from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.daemon.exporter import Exporter
from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings import UsageRequested, load
from celery_redis_exporter.settings.read.web_config import read_web_config
from celery_redis_exporter.sources.kombu_link import KombuAddress, KombuEndpoint

SECRET = "x-%41'\"é@:/PLANTED"
WORD = "PLANTED"
IN_URL = quote(SECRET, safe="")
HASH = "$2y$10$" + "PLANTED" + "a" * 14 + "O" + "b" * 31

ENVIRONMENT = {
    "EXPORTER_BROKER_URL": f"redis://user:{IN_URL}@h/0",
    "EXPORTER_RESULT_BACKEND_URL": f"rediss://h/1?password={IN_URL}&ssl_password={IN_URL}&ssl_ca_data={WORD}",
    "EXPORTER_REDIS__SERVERS": json.dumps(
        {
            "cache": {
                "url": f"sentinel://:{IN_URL}@a;sentinel://b",
                "master_name": "m",
                "sentinel_kwargs": {"password": SECRET},
            },
            "token": {"url": f"redis://{WORD}@t/0"},
        }
    ),
    "EXPORTER_BROKER_TRANSPORT_OPTIONS": json.dumps({"sentinel_kwargs": {"username": "u", "password": SECRET}}),
}


def test_no_object_shows_a_secret(tmp_path: Path) -> None:
    """The reprs of settings, targets, endpoints and the exporter itself contain no secret."""
    web = tmp_path / "web.yml"
    web.write_text(json.dumps({"basic_auth_users": {"u": HASH}}), encoding="utf-8")
    settings = load([], {**ENVIRONMENT, "EXPORTER_WEB__CONFIG__FILE": str(web)})
    endpoints = Endpoints(settings, SystemClock())
    shown = [
        settings, str(settings), settings.web_config, settings.redis, settings.broker_transport_options, endpoints,
        Exporter(settings, SystemClock()), read_web_config(str(web), "--web.config.file"), settings.notes,
    ]  # fmt: skip
    for target in settings.redis_targets:
        endpoint = endpoints.to(target, timeout=1.0)
        shown += [target, endpoint, *vars(endpoint).values(), endpoints.session(target, timeout=1.0)]
    assert [] == [text for text in map(repr, shown) if WORD in text]
    assert {SECRET, IN_URL, WORD, HASH} <= set(settings.secrets)


def test_no_object_of_kombu_shows_a_secret() -> None:
    """A broker behind kombu shows no secret either, and kombu options with the names of secrets are masked."""
    options = {"EXPORTER_BROKER_TRANSPORT_OPTIONS": json.dumps({"client_properties": {"password": SECRET}})}
    settings = load([], {"EXPORTER_BROKER_URL": f"amqp://user:{IN_URL}@h//"})
    (target,) = settings.targets
    address = KombuAddress([f"amqp://user:{IN_URL}@h//"], options=options)
    shown = [settings, target, target.redacted, address, KombuEndpoint(address, timeout=1.0)]
    assert [] == [text for text in map(repr, shown) if WORD in text]
    options_of_kombu = {"confirm_publish": True, "deep": {"client_secret": SECRET, "port": 1}}
    foreign = settings.model_copy(update={"kombu_options": options_of_kombu})
    assert SECRET in foreign.secrets
    assert WORD not in repr(foreign)


WRONG = [
    {"EXPORTER_BROKER_URL": f"http://u:{WORD}@h/0"},
    {"EXPORTER_BROKER_URL": f"redis://:{WORD}#x@h/0"},
    {"EXPORTER_BROKER_URL": f"redis://:{WORD}@h:99999/0"},
    {"EXPORTER_BROKER_URL": f"redis://:{WORD}@h:x{WORD}/0"},
    {"EXPORTER_BROKER_URL": f"redis://:a?{WORD}=1@h/0"},
    {"EXPORTER_BROKER_URL": f"redis://:a/{WORD}@h/0"},
    {"EXPORTER_BROKER_URL": f"redis://:a b{WORD}@h /0"},
    {"EXPORTER_BROKER_URL": f"redis://h/0?ssl_password={WORD}&ssl_cert_reqs={WORD}"},
    {"EXPORTER_BROKER_URL": f"{WORD}"},
    {"EXPORTER_BROKER_URL": f"{WORD}:{WORD}://h"},
    {"EXPORTER_BROKER_URL": f"sentinel://:{WORD}@h;redis://x"},
    {"EXPORTER_BROKER_URL": f"sentinel://:{WORD}@h"},
    {"EXPORTER_BROKER_URL": f"amqp://u:{WORD}@h:99999//"},
    {"EXPORTER_BROKER_URL": f"amqp://u:p@h//?login_method={WORD}"},
    {"EXPORTER_BROKER_URL": f"amqps://u:p@h//?ssl_cert_reqs={WORD}"},
    {"EXPORTER_BROKER_URL_FILE": f"redis://:{WORD}@h/0"},
    {"EXPORTER_BROKER_URL_FILE": f"{WORD}"},
    {"EXPORTER_BROKER_PASSWORD_FILE": f"{WORD}"},
    {"EXPORTER_RESULT_BACKEND_URL": f"file://:{WORD}@h"},
    {"EXPORTER_RESULT_BACKEND_URL": "redis://h", "EXPORTER_RESULT_BACKEND_PASSWORD_FILE": f"{WORD}=="},
    {"EXPORTER_REDIS__SERVERS": f'{{"cache": "redis://:{WORD}@h:99999"}}'},
    {"EXPORTER_REDIS__SERVERS": f'{{"cache": {{"url": "redis://:{WORD}@h:99999"}}}}'},
    {"EXPORTER_REDIS__SERVERS": f'{{"cache": {{"url": "redis://h", "passwort": "{WORD}"}}}}'},
    {"EXPORTER_REDIS__SERVERS": f'{{"cache": {{"url": "redis://h", "password_file": "{WORD}"}}}}'},
    {"EXPORTER_REDIS__SERVERS": f'{{"redis://:{WORD}@h": {{"url": "redis://h"}}}}'},
    {"EXPORTER_REDIS__SERVERS": f'{{"cache": {{"url": "redis://:{WORD}@h"'},
    {"EXPORTER_BROKER_TRANSPORT_OPTIONS": f'{{"sentinel_kwargs": {{"password": ["{WORD}"]}}}}'},
    {"EXPORTER_BROKER_TRANSPORT_OPTIONS": f'{{"sentinel_kwargs": {{"pasword": "{WORD}"}}}}'},
    {"EXPORTER_BROKER_TRANSPORT_OPTIONS": f'{{"sentinel_kwargs": "{WORD}"}}'},
    {"EXPORTER_BROKER_TRANSPORT_OPTIONS": f"redis://:{WORD}@h"},
    {"EXPORTER_WEB__LISTEN_ADDRESS": f"redis://:{WORD}@h:1"},
    {"EXPORTER_LOG__LEVEL": f"redis://:{WORD}@h:1"},
    {"EXPORTER_QUEUES__MAX": f"redis://:{WORD}@h:1"},
    {"EXPORTER_REDBEAT__SERVER": f"redis://:{WORD}@h:1"},
]


@pytest.mark.parametrize("environment", WRONG, ids=",".join)
def test_messages_about_wrong_settings_hold_no_secret(environment: dict[str, str]) -> None:
    """The message about a wrong setting that contains a secret, or has one in its place, does not contain it."""
    with pytest.raises(ConfigError) as caught:
        load([], environment)
    assert WORD not in str(caught.value)


@pytest.mark.parametrize("arguments", [
    [f"--broker-url=redis://:{WORD}@h:99999"], ["--broker-url", f"http://:{WORD}@h"], [f"redis://:{WORD}@h"],
    [f"--broker-url:redis://:{WORD}@h"], [f"--broker-ur=redis://:{WORD}@h"], ["--broker-url", f"redis://h/{WORD}"],
    [f"--redis.servers={WORD}"], [f"--broker-password-file={WORD}"], ["--queues.max", "1", f"redis://:{WORD}@h"],
])  # fmt: skip
def test_messages_about_wrong_flags_hold_no_secret(arguments: list[str]) -> None:
    """Messages about wrong flags contain no secret, also for a mistyped flag."""
    with pytest.raises(ConfigError) as caught:
        load(arguments, {})
    assert WORD not in str(caught.value)


@pytest.mark.parametrize("text", [
    f"broker_url: 'redis://:{WORD}@h:99999'", f"broker_url: redis://:{WORD}@h: x", f"broker_url: [redis://:{WORD}@h]",
    f"redis: {{servers: {{a: {{url: 'http://:{WORD}@h'}}}}}}", f"redis://:{WORD}@h", f"broker_url: '{WORD}",
    f"broker_url:\n  redis://:{WORD}@h: 1", f"broker_url: !!python/object/apply:os.system ['{WORD}']",
])  # fmt: skip
def test_messages_about_a_wrong_file_hold_no_secret(tmp_path: Path, text: str) -> None:
    """Messages about the settings file contain no secret, and its tags build no objects."""
    file = tmp_path / "settings.yml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(["--config.file", str(file)], {})
    assert WORD not in str(caught.value)


def test_help_holds_no_secret() -> None:
    """The help lists the settings, but not their values."""
    with pytest.raises(UsageRequested) as caught:
        load(["--help"], ENVIRONMENT)
    assert WORD not in str(caught.value)
