# SPDX-License-Identifier: Apache-2.0
"""Several applications in one settings file: their settings, the common settings, and errors."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings import Settings, SharedServer, choose_application, load, load_tree

SAME_EVENTS = (
    "applications.twin: has the server, database, prefix and event exchange of shop, so that their events can't be "
    "told apart; give one of them another database or event_exchange"
)
CACHE = {"servers": {"cache": "redis://d"}}
SHOP, BILLING = {"broker_url": "redis://h/0"}, {"broker_url": "redis://h/1"}


def read(applications: object, **common: Any) -> Settings:  # noqa: ANN401 -- settings
    """Return the settings of these applications."""
    return load_tree({"applications": applications, **common})


def test_an_application_has_the_common_settings_and_its_own() -> None:
    """Common values hold for each application, except for those that it sets itself, one by one within a group."""
    common = {"queues": {"max": 7, "names": ["everyone"]}, "workers": {"lost_after": "1m"}}
    settings = read({"shop": SHOP | {"queues": {"names": ["mail"]}}, "billing": BILLING}, **common)
    shop, billing = settings.applications["shop"], settings.applications["billing"]
    assert (("mail",), 7, 60) == (shop.queues.names, shop.queues.max, shop.workers.lost_after)
    assert (("everyone",), 7, 60) == (billing.queues.names, billing.queues.max, billing.workers.lost_after)
    assert ["shop", "billing"] == [one.application for one in settings.applications.values()]


def test_without_applications_nothing_differs() -> None:
    """A key without a value counts as not set."""
    assert load_tree({"applications": None, **SHOP}) == load_tree(SHOP)
    assert {} == load_tree(SHOP).applications


@pytest.mark.parametrize(
    ("applications", "common", "message"),
    [
        ([], {}, "applications: must be a mapping from a name to the settings of that application"),
        ({}, {}, "applications: must be a mapping from a name to the settings of that application"),
        ({"a b": SHOP}, {}, "applications: has a name that is not made of up to 63 letters, digits and . _ - alone"),
        ({"shop": None}, {}, "applications.shop: must be a mapping of settings with a broker_url"),
        ({"shop": {}}, {}, "applications.shop.broker_url: is missing; each application has a broker of its own"),
        ({"shop": SHOP | {"queuess": {}}}, {},
         "applications.shop.queuess: no such setting; did you mean queues.names?"),
        ({"shop": SHOP | {"queues": {"max": 0}}}, {}, "applications.shop.queues.max: must be 1 or more, not '0'"),
        ({"shop": SHOP | {"web": {"listen_address": ":1"}}}, {},
         "applications.shop.web.listen_address: is common to all applications; set it outside of applications"),
        ({"shop": SHOP | {"redis": {"metrics": "off"}}}, {},
         "applications.shop.redis.metrics: is common to all applications; set it outside of applications"),
        ({"shop": SHOP}, {"broker_url": "redis://h"},
         "broker_url: is set for each application; move it into applications"),
        ({"shop": SHOP}, {"result_backend_url": "redis://h"},
         "result_backend_url: is set for each application; move it into applications"),
        ({"shop": SHOP}, {"metrics": {"labels": {"application": "x"}}},
         "metrics.labels: has 'application', which is the name of each application already"),
        ({"shop": SHOP, "twin": {"broker_url": "redis://:other@h:6379/0"}}, {},
         SAME_EVENTS),
        ({"shop": {"broker_url": "amqp://u:p@h//"}, "twin": {"broker_url": "amqp://other@h//"}}, {},
         SAME_EVENTS),
        ({"shop": SHOP | {"redis": {"servers": {"cache": "redis://c"}}}}, {"redis": CACHE},
         "applications.shop.redis.servers: has 'cache', which is one of the common redis.servers; choose another name"),
        ({"shop": SHOP | {"broker_url_file": "/nowhere/url"}}, {},
         "applications.shop.broker_url_file: applications.shop.broker_url is set too; remove one of them"),
        ({"shop": {"broker_url_file": 7}}, {}, "applications.shop.broker_url_file: must be the path of a file"),
        ({"shop": {"broker_url_file": "/nowhere/url"}}, {},
         "applications.shop.broker_url_file: can't read /nowhere/url: No such file or directory"),
    ],
)  # fmt: skip
def test_a_wrong_list_is_refused_in_one_line(applications: object, common: dict[str, Any], message: str) -> None:
    """The line names the application's setting and how to fix it, and contains no secret."""
    with pytest.raises(ConfigError) as refused:
        read(applications, **common)
    assert message == str(refused.value)


@pytest.mark.parametrize(
    "other",
    [
        {"broker_url": "redis://h/1"},
        {"broker_url": "redis://h:6380/0"},
        {"broker_url": "redis://h/0", "event_exchange": "others"},
        {"broker_url": "redis://h/0", "broker_transport_options": {"global_keyprefix": "other."}},
    ],
)
def test_what_tells_applications_apart(other: dict[str, Any]) -> None:
    """Another server, database, prefix or event exchange is enough to distinguish two applications."""
    assert ["shop", "other"] == list(read({"shop": SHOP, "other": other}).applications)


def test_without_a_prefix_of_channels_the_database_does_not_matter() -> None:
    """Without ``fanout_prefix`` kombu publishes the events of all databases on the same channel."""
    plain = {"broker_transport_options": {"fanout_prefix": False}}
    with pytest.raises(ConfigError, match="can't be told apart"):
        read({"shop": SHOP | plain, "billing": BILLING | plain})


def test_a_server_of_several_applications_is_shared() -> None:
    """A server of several applications becomes a common one; the first application of a database samples its keys."""
    prefixed = SHOP | {"broker_transport_options": {"global_keyprefix": "crm."}}
    settings = read({"shop": SHOP, "crm": prefixed, "billing": BILLING, "alone": {"broker_url": "redis://other/0"}})
    name = "broker@h:6379"
    assert [name] == [target.name for target in settings.targets]
    assert {name: frozenset({0, 1})} == settings.message_databases
    found = {one: settings.applications[one].shared for one in settings.applications}
    assert {
        "shop": {"broker": SharedServer(name, samples=True)},
        "crm": {"broker": SharedServer(name, samples=False)},
        "billing": {"broker": SharedServer(name, samples=True)},
        "alone": {},
    } == found
    read_by = {one: [target.name for target in settings.applications[one].read_targets] for one in found}
    assert {"shop": [], "crm": [], "billing": [], "alone": ["broker"]} == read_by


@pytest.mark.parametrize(
    ("applications", "common", "names"),
    [
        ({"a": SHOP | {"result_backend_url": "redis://r/0"}, "b": BILLING | {"result_backend_url": "redis://r/1"}}, {},
         ["broker@h:6379", "results@r:6379"]),
        ({"a": SHOP | {"result_backend_url": "redis://r/0"}, "b": {"broker_url": "redis://r/1"}}, {},
         ["broker@r:6379"]),
        ({"a": SHOP, "b": {"broker_url": "redis://c/1"}}, {"cache": "redis://c/5", "idle": "redis://i/0"},
         ["broker@cache", "idle"]),
        ({"a": {"broker_url": "unix:///s/r.sock?virtual_host=0"}, "b": {"broker_url": "unix:///s/r.sock?virtual_host=1"}},
         {}, ["broker@/s/r.sock"]),
        ({"a": {"broker_url": "redis://[::2]/0"}, "b": {"broker_url": "redis://[::2]/1"}}, {}, ["broker@[::2]:6379"]),
        ({"a": {"broker_url": "redis://münchen/0"}, "b": {"broker_url": "redis://münchen/1"}}, {},
         ["broker@xn--mnchen-3ya:6379"]),
        ({name: {"broker_url": f"sentinel://s1:26379/{db};sentinel://s2:26379/{db}",
                 "broker_transport_options": {"master_name": "m"}} for db, name in enumerate("ab")}, {},
         ["broker@m@s1:26379"]),
    ],
)  # fmt: skip
def test_names_of_shared_servers(applications: object, common: dict[str, str], names: list[str]) -> None:
    """Names of shared servers begin with the role, as alerts need it, and end with the user's name or the address."""
    settings = read(applications, redis={"servers": common})
    assert names == sorted(target.name for target in settings.targets)


def test_keys_of_a_common_server_follow_its_name() -> None:
    """A common server that is a broker keeps its named keys."""
    servers = {"servers": {"cache": "redis://h/0"}, "keys": {"cache": {"0": ["orders"]}}}
    settings = read({"shop": SHOP}, redis=servers)
    assert ["broker@cache"] == list(settings.redis.keys)
    assert [] == list(settings.applications["shop"].redis.keys)


def test_secrets_come_from_files(tmp_path: Path) -> None:
    """Each secret of an application can be in a separate file, which is read again for each connection."""
    url, password = tmp_path / "url", tmp_path / "sentinels"
    url.write_text("redis://user:FIRST@h/3\n", encoding="utf-8")
    password.write_text("HIDDEN\n", encoding="utf-8")
    options = {"sentinel_kwargs": {"password_file": str(password)}}
    tree = {"broker_url_file": str(url), "broker_transport_options": options}
    settings = read({"shop": tree, "twin": {"broker_url": "redis://h/4"}})
    shop = settings.applications["shop"]
    assert 3 == shop.redis_targets[0].db
    credentials = shop.redis_targets[0].credentials
    assert credentials is not None
    assert ("user", "FIRST") == credentials()
    url.write_text("redis://user:SECOND@h/3\n", encoding="utf-8")
    assert ("user", "SECOND") == credentials()
    assert {"FIRST", "SECOND", "HIDDEN"} <= set(settings.secrets)
    shared = settings.redis_targets[0].credentials
    assert shared is not None
    assert ("user", "SECOND") == shared()
    assert "FIRST" not in repr(settings)


def test_celerys_own_variables_do_not_disturb(tmp_path: Path) -> None:
    """CELERY_BROKER_URL, which an application's containers have, causes a note and is not used."""
    file = tmp_path / "settings.yml"
    file.write_text(yaml.safe_dump({"applications": {"shop": SHOP}}), encoding="utf-8")
    settings = load(["--config.file", str(file)], {"CELERY_BROKER_URL": "redis://elsewhere/0"})
    assert ("CELERY_BROKER_URL is not used: the settings file lists applications.",) == settings.notes
    with pytest.raises(ConfigError, match=r"^--broker-url: is set for each application; move it into applications$"):
        load(["--config.file", str(file), "--broker-url=redis://h"], {})


def test_one_application_is_chosen_by_name() -> None:
    """A command reads one application's settings as if it was the only one; a wrong or missing name is explained."""
    settings = read({"shop": SHOP, "billing": BILLING})
    chosen = choose_application(settings, "shop")
    assert ("", {}, ["broker"]) == (chosen.application, chosen.shared, [one.name for one in chosen.read_targets])
    with pytest.raises(ConfigError, match=r"^--application: name one of several; there are shop, billing$"):
        choose_application(settings, None)
    with pytest.raises(ConfigError, match=r"^--application: no such application; did you mean shop\?$"):
        choose_application(settings, "shopp")
    with pytest.raises(ConfigError, match=r"^--application: the settings list no applications$"):
        choose_application(load_tree(SHOP), "shop")
