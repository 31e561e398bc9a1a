# SPDX-License-Identifier: Apache-2.0
"""The environment: names, unknown names, empty values."""

import pytest

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings import load
from celery_redis_exporter.settings.read.environment import read_environment
from celery_redis_exporter.settings.schema.rows import describe


def test_every_row_is_a_variable() -> None:
    """Each variable in the help sets its setting."""
    for row in describe():
        given = read_environment({row.environment: "{}"})
        assert row.kind == "JSON" or row.environment == given[row.path].written


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("EXPORTER_BROKER_ULR", "EXPORTER_BROKER_ULR: no such variable; did you mean EXPORTER_BROKER_URL?"),
        ("EXPORTER_WEB_LISTEN_ADDRESS", "did you mean EXPORTER_WEB__LISTEN_ADDRESS?"),
        ("EXPORTER_PORT", "EXPORTER_PORT: no such variable"),
        ("EXPORTER_LOG__LEVEL_FILE", "did you mean EXPORTER_LOG__LEVEL?"),
    ],
)
def test_an_unknown_variable_is_refused(name: str, message: str) -> None:
    """A mistyped variable is an error, so that no default is used instead."""
    with pytest.raises(ConfigError) as caught:
        load([], {name: ""})
    assert message in str(caught.value)


def test_a_wrong_value_is_named_by_its_variable() -> None:
    """The message names the variable that the user set."""
    with pytest.raises(ConfigError, match=r"^EXPORTER_QUEUES__MAX: must be a whole number, not 'many'$"):
        load([], {"EXPORTER_QUEUES__MAX": "many"})


def test_an_empty_variable_counts_as_unset() -> None:
    """Empty variables are accepted, because Compose files pass unset variables through as empty ones."""
    empty = dict.fromkeys(["EXPORTER_BROKER_URL", "EXPORTER_BROKER_URL_FILE", "CELERY_BROKER_URL"], "")
    assert load([], {}) == load([], empty)


def test_variables_of_a_kubernetes_service_called_exporter_do_no_harm() -> None:
    """The variables that Kubernetes sets in every pod of the namespace are ignored."""
    links = {
        "EXPORTER_SERVICE_HOST": "10.0.0.1",
        "EXPORTER_SERVICE_PORT": "9808",
        "EXPORTER_SERVICE_PORT_HTTP": "9808",
        "EXPORTER_PORT": "tcp://10.0.0.1:9808",
        "EXPORTER_PORT_9808_TCP": "tcp://10.0.0.1:9808",
        "EXPORTER_PORT_9808_TCP_ADDR": "10.0.0.1",
        "EXPORTER_NODE_SERVICE_HOST": "10.0.0.2",
        "EXPORTER_NODE_PORT_9100_TCP_PROTO": "tcp",
    }
    assert load([], {}) == load([], links)


@pytest.mark.parametrize("service", ["EXPORTER", "EXPORTER_REDIS", "EXPORTER_PORT", "EXPORTER_SERVICE"])
def test_all_variables_of_a_kubernetes_service_are_ignored(service: str) -> None:
    """No form of variable prevents the start, whatever the service is called."""
    forms = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_9808_TCP"]
    forms += [f"PORT_9808_TCP_{part}" for part in ("PROTO", "PORT", "ADDR")]
    assert load([], {}) == load([], {f"{service}_{form}": "x" for form in forms})


@pytest.mark.parametrize("name", ["EXPORTER_REDIS__ADDRESES", "EXPORTER_CELERY_PORT", "EXPORTER_REDIS_PORT_TCP"])
def test_a_misspelt_variable_is_refused_beside_those_of_a_service(name: str) -> None:
    """Only the variables of a service that has a SERVICE_HOST are ignored."""
    with pytest.raises(ConfigError, match=f"^{name}: no such variable"):
        load([], {"EXPORTER_REDIS_SERVICE_HOST": "10.0.0.5", name: "x"})
