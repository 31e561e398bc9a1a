# SPDX-License-Identifier: Apache-2.0
"""The Redis servers of the settings, and their passwords."""

import json
from pathlib import Path

import pytest

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings import RedisTarget, Settings, load

BROKER = "--broker-url=redis://app:SECRET@broker/0"


def servers(**options: object) -> str:
    """Return a flag that names servers."""
    return f"--redis.servers={json.dumps(options)}"


def by_name(settings: Settings) -> dict[str, RedisTarget]:
    """Return the servers that are read."""
    return {target.name: target for target in settings.redis_targets}


def refusal(*argv: str, environ: dict[str, str] | None = None) -> str:
    """Load settings that must be refused, and return the message."""
    with pytest.raises(ConfigError) as caught:
        load(argv, environ or {})
    assert "\n" not in str(caught.value)
    assert "SECRET" not in str(caught.value)
    return str(caught.value)


def test_servers_have_names_and_users_of_their_own() -> None:
    """Broker, results and named servers are read in this order, each with its own URL."""
    settings = load(
        [BROKER, "--result-backend-url=redis://results", servers(cache={"url": "rediss://u:p@cache/3"})], {}
    )
    targets = by_name(settings)
    assert ["broker", "results", "cache"] == list(targets)
    assert ("rediss://u:p@cache:6379/3", 3) == (targets["cache"].url, targets["cache"].db)
    assert {"SECRET", "p"} <= set(settings.secrets)
    assert "SECRET" not in repr(settings)


def test_servers_come_from_a_file_too(tmp_path: Path) -> None:
    """In the settings file, servers are YAML."""
    file = tmp_path / "c.yaml"
    file.write_text("redis:\n  servers:\n    cache:\n      url: redis://cache\n      discover: false\n")
    settings = load(["--config.file", str(file)], {})
    assert ["broker", "cache"] == list(by_name(settings))
    assert not settings.redis.servers["cache"].discover


def test_one_server_is_read_once() -> None:
    """A named server that is also the broker or the result backend is read once, with a note."""
    settings = load(
        [BROKER, "--result-backend-url=redis://broker/1", servers(twin={"url": "redis://other@broker/4"})], {}
    )
    assert ["broker"] == list(by_name(settings))
    assert (
        "redis.servers.twin is the server that is shown as broker already; it is not read twice.",
    ) == settings.notes


def test_passwords_are_read_when_they_are_needed(tmp_path: Path) -> None:
    """A file's password replaces that of the URL, and is read for each connection; the user stays that of the URL."""
    file = tmp_path / "password"
    file.write_text("first SECRET/1\n")
    settings = load([BROKER, f"--broker-password-file={file}"], {})
    credentials = by_name(settings)["broker"].credentials
    assert credentials is not None
    assert ("app", "first SECRET/1") == credentials()
    file.write_text("second")
    assert ("app", "second") == credentials()
    assert {"first SECRET/1", "first%20SECRET%2F1", "second"} <= set(settings.secrets)


def test_the_file_of_a_url_is_read_again(tmp_path: Path) -> None:
    """A changed URL in a *_FILE file replaces user and password, and nothing else."""
    file = tmp_path / "url"
    file.write_text("redis://app:one@broker/0\n")
    settings = load([], {"EXPORTER_BROKER_URL_FILE": str(file)})
    credentials = by_name(settings)["broker"].credentials
    assert credentials is not None
    file.write_text("redis://new:two@elsewhere/5")
    assert ("new", "two") == credentials()
    file.write_text("nonsense SECRET")
    with pytest.raises(ConfigError, match="EXPORTER_BROKER_URL_FILE: must be a URL") as caught:
        credentials()
    assert "SECRET" not in str(caught.value)
    assert by_name(load([BROKER], {}))["broker"].credentials is None


def test_sentinels_of_a_named_server() -> None:
    """A named server can be behind sentinels, whose master's name it needs."""
    url = "sentinel://a;sentinel://b"
    settings = load([servers(cache={"url": url, "master_name": "m", "sentinel_kwargs": {"password": "SECRET"}})], {})
    assert (("a", 26379), ("b", 26379)) == by_name(settings)["cache"].sentinels
    assert "SECRET" in settings.secrets
    assert "redis.servers.cache.master_name: is missing" in refusal(servers(cache={"url": url}))


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        (servers(broker={"url": "redis://x"}), "has 'broker', which is the name of a server with settings of its own"),
        (servers(**{"a/b": {"url": "redis://x"}}), "letters, digits and . _ -"),
        (servers(cache={"url": "redis:/x"}), "(cache.url): must be a URL such as"),
        (servers(cache={}), "(cache.url)"),
        (servers(cache={"url": "redis://x", "pasword": "SECRET"}), "(cache.pasword): no such setting; did you mean"),
        (servers(cache={"url": "redis://x", "password_file": "/missing"}), "can't read /missing"),
        ("--redis.servers=cache", "must be name=URL pairs with commas between, or a JSON object"),
        ("--redis.servers={cache", "is not valid JSON"),
        ("--broker-password-file=/missing", "broker_password_file: can't read /missing"),
        ("--result-backend-password-file=/missing", "there is no result_backend_url"),
        ("--redis.metrics=some", "'full', 'core' or 'off'"),
        ("--redis.assumed-maxmemory=2 pounds", "as in 512MB or 2GB"),
        ("--redis.memory-guard.threshold=1.5", "must be 1 or less"),
        ("--redis.discovery-interval=500ms", "1s or more"),
        ("--redis.allowed-addresses=10.0.0.0/99", "must be networks or ends of host names"),
        ("--redis.allowed-addresses=10.0.0.300", "must be networks or ends of host names"),
        ("--redis.allowed-addresses=*.internal", "must be networks or ends of host names"),
        ('--redis.keys={"cache": {"0": ["a"]}}', "--redis.keys: has no server 'cache'; servers are broker"),
        ('--redis.keys={"broker": {"x": ["a"]}}', "--redis.keys"),
        ('--redis.keys={"broker": {"0": [""]}}', "has for 'broker' a key whose name is not 1 to 200 characters"),
        (f"--redis.keys={json.dumps({'broker': {'0': [str(n) for n in range(101)]}})}", "has more than 100 keys"),
        ("--no-metrics.classic-histograms", "can be false only if metrics.native_histograms is true"),
        ("--redbeat.server=elsewhere", "--redbeat.server: must be a Redis server of these settings (broker)"),
    ],
)
def test_what_can_not_be_used(flag: str, message: str) -> None:
    """A wrong value is refused in one line that names the setting and its solution, without a secret."""
    assert message in refusal(flag)


def test_a_password_file_of_another_broker_is_refused(tmp_path: Path) -> None:
    """A password file is refused for RabbitMQ, with a message that states where its password belongs."""
    file = tmp_path / "password"
    file.write_text("SECRET")
    message = refusal("--broker-url=amqp://rabbit", f"--broker-password-file={file}")
    assert "broker_password_file: is for Redis; write the password of other brokers into broker_url" in message


@pytest.mark.parametrize(("text", "message"), [("a\nb\n", "has more than one line")])
def test_a_file_without_one_password(tmp_path: Path, text: str, message: str) -> None:
    """A file with anything but one password is refused."""
    file = tmp_path / "password"
    file.write_text(text)
    assert message in refusal(f"--broker-password-file={file}")


@pytest.mark.parametrize(
    ("text", "expected"), [("0", 0), ("1024", 1024), ("512MB", 2**29), ("2g", 2**31), ("1 GiB", 2**30), ("3kb", 3072)]
)
def test_bytes(text: str, expected: int) -> None:
    """Sizes are written as in redis.conf, whose units are powers of 1024."""
    assert expected == load([f"--redis.assumed-maxmemory={text}"], {}).redis.assumed_maxmemory


@pytest.mark.parametrize("text", ["", "\n"])
def test_an_empty_password_file_is_no_password(tmp_path: Path, text: str) -> None:
    """An empty file, as deployments create it for a server without a password, means that there is none."""
    file = tmp_path / "password"
    file.write_text(text)
    (target,) = load([f"--broker-password-file={file}"], {}).redis_targets
    assert target.credentials is not None
    assert ("", "") == target.credentials()
    file.write_text("word\n")
    assert ("", "word") == target.credentials()


def test_keys_and_addresses() -> None:
    """Keys are exact names by server and database, each once; addresses are networks and ends of names."""
    keys = json.dumps({"broker": {"0": ["a", "b", "a"], "3": ["c,d"]}})
    settings = load(["--redis.keys", keys, "--redis.allowed-addresses=10.0.0.0/8, fd00::/8,.internal,redis-1"], {})
    assert {"broker": {0: ("a", "b"), 3: ("c,d",)}} == settings.redis.keys
    assert ("10.0.0.0/8", "fd00::/8", ".internal", "redis-1") == settings.redis.allowed_addresses
