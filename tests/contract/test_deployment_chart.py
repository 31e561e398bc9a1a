# SPDX-License-Identifier: Apache-2.0
"""The Helm chart: the values that it refuses, and that its manifests equal those of the kustomization."""

import json
import re
from typing import Any

import jsonschema
import pytest

from celery_redis_exporter import __version__
from tests.deployment import chart, go_templates, manifests
from tests.deployment.manifests import of_kind
from tests.support import yaml_text

DASHBOARDS = sorted(path.name for path in (chart.ROOT / "grafana").glob("*.json"))
LINKS = [path for path in (chart.CHART / "files").rglob("*") if path.is_symlink()]


def test_values_fit_their_schema() -> None:
    """The chart's default values are valid, and its schema is a valid schema."""
    jsonschema.Draft7Validator.check_schema(chart.schema())
    chart.check_values(chart.default_values())


def test_every_value_is_in_the_schema() -> None:
    """The schema contains each value of values.yaml and no others, except the one that helm itself sets."""
    assert {*chart.default_values(), "global"} == set(chart.schema()["properties"])


@pytest.mark.parametrize(
    "changes",
    [
        {"image": {"repository": ""}},
        {"image": {"pullPolicy": "Sometimes"}},
        {"brokerUrl": "localhost:6379"},
        {"brokerUrl": "redis://:word@redis:6379/0"},
        {"brokerUrl": "redis://user:word@redis:6379/0"},
        {"resultBackendUrl": "amqp://rabbit"},
        {"settings": {"WORKERS__LOST_AFTER": "1m"}},
        {"settings": {"EXPORTER_WORKERS__MAX": 100}},
        {"settings": {"EXPORTER_BROKER_URL": "redis://redis"}},
        {"replicas": 3},
        {"service": {"port": 0}},
        {"networkPolicy": {"egressPorts": []}},
        {"serviceMonitor": {"interval": "often"}},
        {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}},
        {"replica": 1},
        {"secret": {"name": "Not A Name"}},
        {"state": {"enabled": True}, "replicas": 2},
        {"state": {"size": "much"}},
        {"brokerUrl": "amqps://user@rabbit/v"},
        {"settings": {"EXPORTER_CONFIG__FILE": "/etc/x"}},
        {"web": {"tlsSecret": "tls"}},
        {"web": {"scrapeSecret": "scrape"}},
        {"web": {"configSecret": "Not A Name"}},
        {"applications": {"Shop": {"brokerUrl": "redis://redis"}}},
        {"applications": {"shop": {}}},
        {"applications": {"shop": {"brokerUrl": "redis://:word@redis"}}},
        {"applications": {"shop": {"brokerUrl": "redis://redis", "secret": {"name": "a", "brokerUrlKey": "url"}}}},
        {"applications": {"shop": {"brokerUrl": "amqp://u@r/v", "secret": {"name": "a", "brokerPasswordKey": "word"}}}},
        {"applications": {"shop": {"brokerUrl": "redis://redis", "secret": {"brokerPasswordKey": "word"}}}},
        {"applications": {"shop": {"brokerUrl": "redis://redis", "settings": {"web": {"open_health": True}}}}},
        {"applications": {"shop": {"brokerUrl": "redis://redis", "settings": {"broker_url_file": "/etc/x"}}}},
    ],
    ids=json.dumps,
)
def test_wrong_values_are_refused(changes: dict[str, Any]) -> None:
    """Invalid values, a password in a URL and unknown names stop the installation."""
    with pytest.raises(jsonschema.ValidationError):
        chart.render(changes)


@pytest.mark.parametrize("url", ["sentinel://a:26379/0;sentinel://b:26379", "rediss://user@redis:6380", "amqps://r/v"])
def test_urls_without_a_password_pass(url: str) -> None:
    """URLs without a password are accepted."""
    chart.render({"brokerUrl": url, "secret": {"name": ""}})


def test_the_pod_is_that_of_the_kustomization() -> None:
    """With its defaults the chart runs the same pod as deploy/kubernetes/base, except for names and image policy."""

    def pod(found: list[dict[str, Any]]) -> dict[str, Any]:
        (deployment,) = of_kind(found, "Deployment")
        spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
        del spec["serviceAccountName"]
        spec["containers"][0].pop("imagePullPolicy", None)
        return spec

    base = manifests.of_folder(manifests.DEPLOY / "kubernetes" / "base")
    assert pod(base) == pod(manifests.of_chart("defaults"))


@pytest.mark.parametrize("kind", ["NetworkPolicy", "ServiceMonitor", "PrometheusRule"])
def test_the_rest_is_that_of_the_kustomization(kind: str) -> None:
    """Policy, monitor and alerts of the chart and of the kustomization are the same, except for labels."""
    overlay = manifests.of_folder(manifests.DEPLOY / "kubernetes" / "overlays" / "prometheus-operator")
    (one,), (other,) = of_kind(overlay, kind), of_kind(manifests.of_chart("operator"), kind)
    for spec in (one["spec"], other["spec"]):
        spec.pop("selector", None)
        spec.pop("podSelector", None)
    assert one["spec"] == other["spec"]


def test_the_volume_is_that_of_the_kustomization() -> None:
    """With a state file, chart and overlay run the same pod with the same claim, and the old pod stops first."""
    overlay = manifests.of_folder(manifests.DEPLOY / "kubernetes" / "overlays" / "state-file")
    (one,), (other,) = of_kind(overlay, "Deployment"), of_kind(manifests.of_chart("state"), "Deployment")
    assert {"type": "Recreate"} == one["spec"]["strategy"] == other["spec"]["strategy"]
    pods = [row["spec"]["template"]["spec"] for row in (one, other)]
    assert pods[0]["containers"][0]["volumeMounts"] == pods[1]["containers"][0]["volumeMounts"]
    (claim,), (made,) = (of_kind(found, "PersistentVolumeClaim") for found in (overlay, manifests.of_chart("state")))
    assert "fast" == made["spec"].pop("storageClassName")
    assert claim["spec"] == made["spec"]
    for pod, row in zip(pods, (claim, made), strict=True):
        assert {"claimName": row["metadata"]["name"]} == pod["volumes"][-1]["persistentVolumeClaim"]
    claimed = manifests.of_chart("claimed")
    assert [] == of_kind(claimed, "PersistentVolumeClaim")
    (deployment,) = of_kind(claimed, "Deployment")
    assert ["kept"] == [
        row["persistentVolumeClaim"]["claimName"] for row in deployment["spec"]["template"]["spec"]["volumes"]
    ]


@pytest.mark.parametrize("values", ["rabbitmq", "web", "tls", "password"])
def test_what_a_pod_is_protected_by_is_that_of_a_component(values: str) -> None:
    """With RabbitMQ, TLS or a password, pod and monitor of the chart equal those of the overlay in these parts."""
    overlay = manifests.of_folder(manifests.DEPLOY / "kubernetes" / "overlays" / "rabbitmq-tls")
    found = manifests.of_chart(values)
    (one,), (other,) = of_kind(overlay, "Deployment"), of_kind(found, "Deployment")
    containers = [row["spec"]["template"]["spec"]["containers"][0] for row in (one, other)]
    wanted, given = ({row["name"]: row["value"] for row in container["env"]} for container in containers)
    wanted["EXPORTER_BROKER_URL_FILE"] = "/run/secrets/celery-redis-exporter/url"
    protection = ("EXPORTER_WEB__", "EXPORTER_BROKER_URL_FILE")
    added = {name: value for name, value in given.items() if name.startswith(protection)}
    assert added.items() <= wanted.items()
    if values == "web":
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert containers[0][probe] == containers[1][probe]
        (theirs,), (ours,) = of_kind(overlay, "ServiceMonitor"), of_kind(found, "ServiceMonitor")
        (endpoint,), (made,) = theirs["spec"]["endpoints"], ours["spec"]["endpoints"]
        assert "shop.example" == made["tlsConfig"]["serverName"]
        assert endpoint.keys() == made.keys()


def test_each_application_has_its_secret() -> None:
    """The pod mounts the Secret of each application, and the settings file names its keys."""
    found = manifests.of_chart("applications")
    (deployment,), (made,) = of_kind(found, "Deployment"), of_kind(found, "ConfigMap")
    pod = deployment["spec"]["template"]["spec"]
    secrets = {row["name"]: row["secret"]["secretName"] for row in pod["volumes"] if "secret" in row}
    assert {"application-shop": "shop-redis", "application-billing": "billing-rabbitmq"} == secrets
    tree = yaml_text.parse(made["data"]["applications.yml"])["applications"]
    assert {"shop", "billing", "crm"} == set(tree)
    assert "/run/secrets/applications/shop/password" == tree["shop"]["broker_password_file"]
    assert {"nightly-*": 100000} == tree["shop"]["queues"]["length_threshold"]
    assert {"broker_url_file": "/run/secrets/applications/billing/url"} == tree["billing"]


def test_the_documented_values_pass() -> None:
    """The values on the page about several applications can be rendered, and the manifests name each application."""
    text = (manifests.DEPLOY / "docs" / "applications.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(applications:\n  shop:\n    brokerUrl.*?)```", text, re.DOTALL)
    found = chart.manifests(chart.render(yaml_text.parse(block)))
    (made,) = of_kind(found, "ConfigMap")
    assert {"shop", "billing"} == set(yaml_text.parse(made["data"]["applications.yml"])["applications"])


def test_another_list_of_applications_is_another_pod() -> None:
    """The pod is annotated with a checksum of the settings file, so that a change of the file reaches the process."""

    def annotations(url: str) -> dict[str, str]:
        found = chart.manifests(chart.render({"applications": {"shop": {"brokerUrl": url}}}))
        (deployment,) = of_kind(found, "Deployment")
        return dict(deployment["spec"]["template"]["metadata"]["annotations"])

    one, other = annotations("redis://redis:6379/0"), annotations("redis://redis:6379/1")
    assert ["checksum/applications"] == list(one) == list(other)
    assert one != other
    assert one == annotations("redis://redis:6379/0")


def test_every_dashboard_comes_with_the_chart() -> None:
    """Each dashboard of grafana/ is an unchanged ConfigMap below Kubernetes's limit of one MiB."""
    found = of_kind(manifests.of_chart("operator"), "ConfigMap")
    texts = {name: text for row in found for name, text in row["data"].items()}
    assert DASHBOARDS == sorted(texts)
    for name, text in texts.items():
        assert (chart.ROOT / "grafana" / name).read_text(encoding="utf-8") == text
        assert len(text.encode()) < 2**20
    assert [{"grafana_dashboard": "1"}] * len(found) == [
        {key: value for key, value in row["metadata"]["labels"].items() if key.startswith("grafana")} for row in found
    ]


def test_files_that_others_write_are_links() -> None:
    """Rules and dashboards are in the chart as links to their only copy."""
    assert {"prometheusrule.yaml", *DASHBOARDS} == {path.name for path in LINKS}
    assert [] == [path for path in LINKS if not path.resolve().is_file()]
    assert [] == [path for path in LINKS if path.readlink().is_absolute()]


def test_names_stay_short() -> None:
    """A long release name yields unique names that Kubernetes accepts."""
    found = chart.manifests(chart.render(manifests.CHART_VALUES["operator"], release="a" * 53))
    names = [(row["kind"], row["metadata"]["name"]) for row in found]
    assert len(names) == len(set(names))
    assert all(len(name) <= 63 and not name.endswith("-") for _, name in names)


@pytest.mark.parametrize("value", ['{"a": {"b": [1]}}', "line\nline", "# no comment", "'", "a: b", "true", "0123"])
def test_settings_arrive_as_they_are(value: str) -> None:
    """The container gets the text of a setting unchanged, whatever it contains."""
    found = chart.manifests(chart.render({"settings": {"EXPORTER_TASKS": value}}))
    (deployment,) = of_kind(found, "Deployment")
    rows = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    assert [value] == [row["value"] for row in rows if row["name"] == "EXPORTER_TASKS"]


def test_notes_say_what_is_left_to_do() -> None:
    """The notes name the Secret that is missing, and state that nothing scrapes the exporter yet."""
    assert "create secret generic celery-redis-exporter" in chart.render({})["NOTES.txt"]
    assert "Nothing scrapes it yet" in chart.render({})["NOTES.txt"]
    quiet = chart.render({"secret": {"name": ""}, "serviceMonitor": {"enabled": True}})["NOTES.txt"]
    assert "create secret" not in quiet
    assert "Nothing scrapes" not in quiet
    several = chart.render(manifests.CHART_VALUES["applications"])["NOTES.txt"]
    assert all(
        text in several for text in ("shop: redis://redis.shop:6379/0", "shop-redis for shop", "ports: 6379 5672.")
    )
    assert "create secret" not in several
    rabbit = chart.render(manifests.CHART_VALUES["rabbitmq"])["NOTES.txt"]
    assert "create secret generic rabbitmq --from-file=url=FILE" in rabbit
    assert "whose key web.yml" in chart.render(manifests.CHART_VALUES["web"])["NOTES.txt"]


def test_versions_are_the_program_s() -> None:
    """Chart, default image tag and kustomization have the version of the package."""
    meta = yaml_text.parse((chart.CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert [__version__] * 2 == [meta["version"], meta["appVersion"]]
    base = yaml_text.parse((manifests.DEPLOY / "kubernetes/base/kustomization.yaml").read_text(encoding="utf-8"))
    assert [__version__] == [image["newTag"] for image in base["images"]]


@pytest.mark.skipif(not chart.go_is_installed(), reason="needs golang-go and golang-github-masterminds-sprig-dev")
@pytest.mark.parametrize("values", manifests.CHART_VALUES)
def test_go_renders_the_same(values: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Go's template engine with Sprig, which helm uses, yields the same output for every template."""
    cache = tmp_path_factory.getbasetemp() / "go"
    changes = manifests.CHART_VALUES[values]
    ours, theirs = chart.render(changes), chart.render_by_go(changes, cache)
    assert chart.manifests(theirs) == chart.manifests(ours)
    assert theirs["NOTES.txt"] == ours["NOTES.txt"]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("a {{- /* no */ -}} b", "ab"),
        ("{{ if .no }}x{{ else if .yes }}y{{ else }}z{{ end }}", "y"),
        ("{{ with .map }}{{ .key | quote }}{{ end }}", '"value"'),
        ("{{ range $key, $value := .map }}{{ $key }}={{ $value }},{{ end }}", "key=value,"),
        ("{{ range .list }}[{{ . }}]{{ else }}none{{ end }}", "[1][2]"),
        ("{{ $x := .map }}{{ toYaml $x | nindent 2 }}", "\n  key: value"),
        ('{{ printf "%s-%s" "a" (default "b" .empty) | trunc 2 | trimSuffix "-" }}', "a"),
    ],
)
def test_the_engine_means_what_go_means(template: str, expected: str) -> None:
    """Blanks, branches, loops, variables and pipelines work as in Go's documentation."""
    dot = {"no": False, "yes": True, "map": {"key": "value"}, "list": [1, 2], "empty": ""}
    assert expected == go_templates.Engine({"t": template}).render("t", dot)


@pytest.mark.parametrize("template", ['{{ lookup "a" }}', "{{ if .a }}", "{{ end }}", "{{ .a ? }}", "{{ .map }}"])
def test_the_engine_refuses_what_it_does_not_know(template: str) -> None:
    """A template that needs more than the engine supports raises an error."""
    with pytest.raises(ValueError, match=r"."):
        go_templates.Engine({"t": template}).render("t", {"a": "", "map": {}})


def test_templates_are_all_rendered() -> None:
    """Every template yields a manifest for at least one of the tested values."""
    rendered = [chart.render(changes) for changes in manifests.CHART_VALUES.values()]
    made = {name for texts in rendered for name, text in texts.items() if text.strip()}
    assert {name for name in chart.read_templates() if not name.startswith("_")} == made
