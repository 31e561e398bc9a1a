# SPDX-License-Identifier: Apache-2.0
"""Settings that another program passes as keyword arguments."""

import pytest

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings import load, load_tree
from celery_redis_exporter.settings.schema.rows import SettingRow, describe
from tests.support.sizes import scaled

SHAPES: tuple[object, ...] = (
    "text", "", "redis://h", "x" * 5000, "\ud800", b"bytes", "1e300", "99999999999d", 5, -1, 1.5, 10**400, float("nan"),
    float("inf"), True, [], ["x"], [[1]], [{}], {}, {"a": 1}, {"a": {"x": 1}}, {"a": {}}, {"a": None}, {"a": [1]},
    {"a": "b"}, {1: 2},
)  # fmt: skip
"""Values that a YAML file may contain in place of any setting."""
WORDS_OF_PYDANTIC = ("Input should", "Extra inputs", "Field required", "Value error", "a valid ")


def test_a_tree_is_what_flags_are() -> None:
    """The same settings, passed as mappings and as flags, are equal."""
    tree = {
        "broker_url": "redis://:SECRET@h/3",
        "queues": {"names": ["a", "b"], "max": 7},
        "scrape": {"deadline": "500ms"},
        "events": {"exemplars": False},
        "broker_transport_options": {"global_keyprefix": "p.", "socket_keepalive": True},
    }
    flags = ["--broker-url=redis://:SECRET@h/3", "--queues.names=a,b", "--queues.max=7", "--scrape.deadline=500ms"]
    options = '{"global_keyprefix": "p.", "socket_keepalive": true}'
    by_flags = load([*flags, "--no-events.exemplars", "--broker-transport-options", options], {})
    without_notes = {"notes": ()}
    assert by_flags.model_copy(update=without_notes) == load_tree(tree).model_copy(update=without_notes)
    assert ["broker_transport_options.socket_keepalive concerns Celery's own connections and has no effect here."] == [
        *load_tree(tree).notes
    ]
    assert "SECRET" in load_tree(tree).secrets
    assert load([], {}) == load_tree({})


@pytest.mark.parametrize("tree", [{"queues": 3}, {"queues": {"maxx": 1}}, {"scrape": {"deadline": "soon"}}])
def test_a_wrong_tree_is_refused_by_its_key(tree: dict[str, object]) -> None:
    """The message names the setting with its path."""
    with pytest.raises(ConfigError, match=r"^(queues|scrape)"):
        load_tree(tree)


@pytest.mark.parametrize(("number", "row"), [*enumerate(describe())], ids=lambda value: getattr(value, "key", ""))
def test_a_value_of_any_shape_is_taken_or_refused_in_our_words(number: int, row: SettingRow) -> None:
    """With any value in place of a setting, the message is one line that names the setting."""
    every = scaled(3, 1)
    for shape in SHAPES[number % every :: every]:
        tree = shape
        for part in reversed(row.path):
            tree = {part: tree}
        message = _refusal(tree)
        assert not message or row.path[0] in message, shape
        assert not any(word in message for word in (*WORDS_OF_PYDANTIC, "\n")), message


def _refusal(tree: object) -> str:
    """Return the message, or an empty text if the settings are valid."""
    try:
        load_tree(tree)  # type: ignore[arg-type]  # a mapping, as every setting has a path
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (
            {"redis": {"servers": {"cache": {"url": "redis://h", "pasword_file": "x"}}}},
            "redis.servers (cache.pasword_file): no such setting; did you mean password_file?",
        ),
        (
            {"redis": {"servers": {"cache": {"url": "redis://h", "sentinel_kwargs": {"usernam": "x"}}}}},
            "redis.servers (cache.sentinel_kwargs.usernam): no such setting; did you mean username?",
        ),
        (
            {"redis": {"servers": {"cache": {"url": "redis://h", "q": 1}}}},
            (
                "redis.servers (cache.q): no such setting; there are url, password_file, discover, master_name, "
                "sentinel_kwargs"
            ),
        ),
        (
            {"tasks": {"a.b": {"runtime_treshold": 3}}},
            "tasks (a.b.runtime_treshold): no such setting; did you mean runtime_threshold?",
        ),
        ({"redis": {"servers": {"cache": {}}}}, "redis.servers (cache.url): is missing"),
        ({"redis": {"servers": {"cache": 3}}}, "redis.servers (cache): must be a mapping"),
    ],
)
def test_a_wrong_name_in_a_mapping_gets_the_nearest_one(tree: dict[str, object], message: str) -> None:
    """Settings below the name of a server or a task are checked like all others."""
    with pytest.raises(ConfigError) as caught:
        load_tree(tree)
    assert message == str(caught.value)


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("cache=redis://h:1/0", {"cache": "redis://h:1/0"}),
        ("cache=redis://:p=a@h:1/0, b=rediss://k/2,", {"cache": "redis://:p=a@h:1/0", "b": "rediss://k/2"}),
        ('{"cache": {"url": "redis://h"}}', {"cache": "redis://h"}),
        ('{"cache": "redis://h", "b": {"url": "redis://k"}}', {"cache": "redis://h", "b": "redis://k"}),
    ],
)
def test_servers_by_name(text: str, urls: dict[str, str]) -> None:
    """Servers can be set as name=URL, and as JSON, where a server is its URL or an object with more options."""
    servers = load(["--redis.servers", text], {}).redis.servers
    assert urls == {name: server.url.get_secret_value() for name, server in servers.items()}


@pytest.mark.parametrize("text", ["cache", "cache=", "=redis://h", "a=redis://h b=redis://k", "redis://:SECRET@h"])
def test_wrong_servers(text: str) -> None:
    """Text in neither form is refused, and not repeated."""
    with pytest.raises(ConfigError, match=r"^--redis.servers: ") as caught:
        load(["--redis.servers", text], {})
    assert "SECRET" not in str(caught.value)
