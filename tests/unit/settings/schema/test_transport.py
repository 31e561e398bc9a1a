# SPDX-License-Identifier: Apache-2.0
"""Transport options: Celery's own names, sentinels, and options that are pasted with them."""

import json
from pathlib import Path

import pytest

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings import KombuTarget, load, master_options
from celery_redis_exporter.settings.schema.foreign import FOREIGN_BY_GROUP

SENTINEL = "--broker-url=sentinel://a:1;sentinel://b:2/0"
GROUP = "--broker-transport-options"


def test_sentinels_are_reached_as_celery_would() -> None:
    """The sentinels' master name and options are accepted under Celery's and redis-py's names, pasted or singly."""
    kwargs = {"password": "SECRET", "ssl": True, "ssl_cert_reqs": "none", "socket_timeout": 3}
    pasted = load([SENTINEL, f"{GROUP}={json.dumps({'master_name': 'm', 'sentinel_kwargs': kwargs})}"], {})
    single = load([
        SENTINEL, f"{GROUP}.master-name=m", f"{GROUP}.sentinel-kwargs.password=SECRET",
        f"{GROUP}.sentinel-kwargs.ssl", f"{GROUP}.sentinel-kwargs.ssl-cert-reqs=none",
    ], {})  # fmt: skip
    assert pasted.broker_transport_options == single.broker_transport_options
    expected = {"password": "SECRET", "ssl_cert_reqs": "none", "ssl_check_hostname": True}
    assert ("m", expected, True) == master_options(pasted, "broker")[1:]
    assert "SECRET" in pasted.secrets
    (note,) = pasted.notes
    assert note.startswith("--broker-transport-options: sentinel_kwargs.socket_timeout concerns")


def test_plain_sentinels_need_no_options() -> None:
    """Without TLS only the options that are set are passed on."""
    assert ("m", {}, False) == master_options(load([SENTINEL, f"{GROUP}.master-name=m"], {}), "broker")[1:]


def test_the_password_of_sentinels_may_stand_in_a_file(tmp_path: Path) -> None:
    """The sentinels' password is a secret like the URLs, and has a variable that names its file."""
    file = tmp_path / "password"
    file.write_text("SECRET\n")
    environ = {"EXPORTER_BROKER_TRANSPORT_OPTIONS__SENTINEL_KWARGS__PASSWORD_FILE": str(file)}
    settings = load([SENTINEL, f"{GROUP}.master-name=m"], environ)
    assert {"password": "SECRET"} == master_options(settings, "broker").parameters
    assert "SECRET" not in repr(settings)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([SENTINEL], "broker_transport_options.master_name: is missing"),
        (["--result-backend-url=sentinel://a"], "result_backend_transport_options.master_name: is missing"),
        ([f'{GROUP}={{"sentinel_kwargs": {{"pasword": 1}}}}'], "did you mean broker_transport_options.sentinel_kw"),
        ([f'{GROUP}={{"socket_timout": 1}}'], "did you mean broker_transport_options.socket_timeout?"),
        ([f'{GROUP}={{"sentinel_kwargs": 1}}'], "sentinel_kwargs: must be a group of settings"),
        (['--result-backend-transport-options={"sep": "x"}'], "result_backend_transport_options.sep: no such setting"),
    ],
)
def test_what_is_wrong_is_named(argv: list[str], message: str) -> None:
    """A missing master name and an unknown option are reported, with the most similar name."""
    with pytest.raises(ConfigError) as caught:
        load(argv, {})
    assert message in str(caught.value)


@pytest.mark.parametrize("group", FOREIGN_BY_GROUP, ids=".".join)
def test_celerys_own_options_are_accepted_and_noted(group: tuple[str, ...], tmp_path: Path) -> None:
    """Each option of Celery's without a use here is accepted in the file, with a note that it has no effect."""
    file = tmp_path / "c.yaml"
    tree: dict[str, object] = dict.fromkeys(FOREIGN_BY_GROUP[group], 1)
    for name in reversed(group):
        tree = {name: tree}
    file.write_text(json.dumps(tree))
    notes = load([f"--config.file={file}"], {}).notes
    assert {f"{'.'.join(group)}.{name}" for name in FOREIGN_BY_GROUP[group]} == {note.split()[1] for note in notes}


def test_other_brokers_get_the_options_that_they_may_need() -> None:
    """Options for another kombu transport are passed on to kombu without a note."""
    settings = load(["--broker-url=filesystem://", f'{GROUP}={{"data_folder_in": "/in", "sep": ":"}}'], {})
    assert isinstance(settings.broker, KombuTarget)
    assert {"data_folder_in": "/in"} == settings.broker.options
    assert () == settings.notes


def test_results_behind_the_brokers_sentinels_are_told_by_their_name() -> None:
    """The same sentinels with the same master name are one server, with another name two."""
    both = [SENTINEL, "--result-backend-url=sentinel://b:2;sentinel://a:1/5", f"{GROUP}.master-name=m"]
    same = load([*both, "--result-backend-transport-options.master-name=m"], {})
    other = load([*both, "--result-backend-transport-options.master-name=n"], {})
    assert (["broker"], ["broker", "results"]) == (
        [target.name for target in same.targets], [target.name for target in other.redis_targets],
    )  # fmt: skip
