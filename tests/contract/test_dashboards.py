# SPDX-License-Identifier: Apache-2.0
"""Dashboards compared with the catalogue, Grafana's rules and those of this project, without running a program."""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest

from celery_redis_exporter.alerts import GROUPS
from celery_redis_exporter.alerts.rule import GROUP_BY, OF_SERIES
from celery_redis_exporter.alerts.selectors import GUARDED
from celery_redis_exporter.catalog import CATALOG, NATIVE, Kind
from celery_redis_exporter.cli.render_dashboards import HELP
from grafana.generator import BOARDS
from grafana.generator.files import files
from grafana.generator.panel import RUNBOOKS
from grafana.generator.promql import ALERTS_WINDOW, OF_PROCESS
from grafana.generator.sdk import JSONEncoder, dashboard
from tests.support import yaml_text
from tests.support.dashboards import (
    FOLDER,
    Target,
    Tree,
    boards,
    fill_times,
    panels,
    queries_of_variables,
    substitute,
    targets,
    variables,
    with_rows,
)
from tests.support.promql import every, matchers, result_labels, scraped, selectors

UNITS = json.loads((Path(__file__).parents[1] / "fixtures" / "grafana-units.json").read_text(encoding="utf-8"))["units"]
KINDS = {"stat", "timeseries", "heatmap", "table", "state-timeline", "bargauge"}
"""Panels of Grafana 10 to 13; those of Angular (graph, singlestat, table-old) were removed, and pies compare badly."""
ALERTS = [alert for group in GROUPS for alert in group.alerts]
WITHOUT_PANEL = {"CeleryWatchdog"}
LIKE_THE_ALERTS = {"Failing", "Slowest queue"}
"""Tiles with the colours of an alert's threshold and the alert's time window."""
BYTES_AT_MOST = 400_000
PANELS_AT_MOST = 46
OPEN_AT_MOST = 30
"""The other panels are in closed rows, which send no queries until they are opened."""
DURATION = re.compile(r"\[([^\]:]+)(?::(?:\$__interval)?)?\]")
COUNTING = {"rate", "increase"}

README = (FOLDER / "README.md").read_text(encoding="utf-8")

each_board = pytest.mark.parametrize("uid", list(boards()))


def each_target(check: Callable[[Target], None]) -> Callable[[str], None]:
    """Make a test that checks every query of a dashboard. A failure names the panel."""

    @each_board
    def test(uid: str) -> None:
        for target in targets(boards()[uid]):
            try:
                check(target)
            except AssertionError as error:
                raise AssertionError(f"{target.title}: {error}") from error

    test.__name__, test.__doc__ = check.__name__, check.__doc__
    return test


def parse(expr: str) -> promql.Expr:
    """Parse a query in the form that Grafana sends."""
    return promql.parse(fill_times(substitute(expr, {}), 15, 15, 3600))


def is_about_redis(name: str) -> bool:
    """Return whether a metric has the label of a Redis server."""
    return name in CATALOG and any(label.name == "redis" for label in CATALOG[name].labels)


def walk(value: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 -- JSON is anything
    """Yield every key with its value, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


def losses(before: Any, after: Any, where: str = "") -> Iterator[str]:  # noqa: ANN401 -- as above
    """Yield the differences between two trees."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            yield from losses(value, after.get(key), f"{where}.{key}")
    elif isinstance(before, list) and isinstance(after, list):
        for number, value in enumerate(before):
            yield from losses(value, after[number] if number < len(after) else None, f"{where}[{number}]")
    elif before != after:
        yield f"{where}: {before!r} became {after!r}"


def names_of_columns(panel: Tree) -> dict[str, str]:
    """Return the displayed names of a table's fields."""
    return {
        field: name
        for step in panel.get("transformations", [])
        if step["id"] == "organize"
        for field, name in step["options"]["renameByName"].items()
    }


def test_files_are_what_the_generator_writes() -> None:
    """A changed dashboard without its generated file is refused, and so is a file that is not generated."""
    committed = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    assert sorted(files(BOARDS)) == sorted(committed)
    for name, text in files(BOARDS).items():
        assert text == committed[name], "run: python -m grafana.generator --write"


def test_dashboards_are_those_that_alerts_link() -> None:
    """There is one dashboard for each name that an alert links, and no other."""
    assert {alert.panel for alert in ALERTS} == set(boards())


@each_board
def test_alerts_have_a_panel(uid: str) -> None:
    """Each alert that links a dashboard is named by a panel there, and each runbook that a panel links exists."""
    described = "\n".join(panel["description"] for panel in panels(boards()[uid]))
    linked = set(re.findall(rf"\]\({re.escape(RUNBOOKS)}#(\w+)\)", described))
    assert set() == linked - {alert.name.lower() for alert in ALERTS}
    wanted = {alert.name.lower() for alert in ALERTS if alert.panel == uid and alert.name not in WITHOUT_PANEL}
    # Beat has no dedicated dashboard: the overview is linked, and the schedulers are beside the periodic tasks.
    assert set() == wanted - linked - {"celerybeatdown"}


@each_board
def test_identity(uid: str) -> None:
    """Ids are unique, the uid has the project's prefix, and the sizes of the file and of the dashboard are limited."""
    tree = boards()[uid]
    assert re.fullmatch(r"celery-redis-exporter-[a-z]{1,18}", tree["uid"])
    ids = Counter(panel["id"] for panel in with_rows(tree))
    assert {} == {number: times for number, times in ids.items() if times > 1}
    assert (FOLDER / f"{uid}.json").stat().st_size < BYTES_AT_MOST
    assert len([panel for panel in tree["panels"] if panel["type"] != "row"]) <= OPEN_AT_MOST
    assert len(panels(tree)) <= PANELS_AT_MOST
    assert 39 <= tree["schemaVersion"] <= 42


@each_board
def test_panels_fill_the_grid(uid: str) -> None:
    """Panels are within 24 columns, do not overlap, and leave no gap beside them."""
    for group in [boards()[uid]["panels"], *(row.get("panels", []) for row in boards()[uid]["panels"])]:
        places = [panel["gridPos"] for panel in group]
        for place in places:
            assert place["x"] + place["w"] <= 24
        for one, other in combinations(places, 2):
            apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        lines: Counter[int] = Counter()
        for place in places:
            lines[place["y"]] += place["w"]
        assert set() == set(lines.values()) - {24}


@each_board
def test_panels_stand_close(uid: str) -> None:
    """There is no empty line between panels and closed rows, and hidden panels begin below their row."""
    line = 0
    for panel in sorted(boards()[uid]["panels"], key=lambda panel: panel["gridPos"]["y"]):
        place = panel["gridPos"]
        assert place["y"] <= line, panel["title"]
        line = max(line, place["y"] + place["h"])
        inside = panel.get("panels", [])
        assert not inside or min(other["gridPos"]["y"] for other in inside) == place["y"] + 1


@each_board
def test_exemplars_are_asked_for_once(uid: str) -> None:
    """At most one query of a panel requests exemplars, because another one would draw the same marks again."""
    for panel in panels(boards()[uid]):
        assert sum(target["exemplar"] for target in panel["targets"]) <= 1, panel["title"]


@each_board
def test_axes_without_values_are_small(uid: str) -> None:
    """A graph of counts or rates that are all 0 has an axis to at most 1, and not to 100."""
    for panel in panels(boards()[uid]):
        unit = panel["fieldConfig"]["defaults"]["unit"]
        if panel["type"] == "timeseries" and (unit in {"short", "ops", "percentunit"} or unit.startswith("suffix:")):
            custom = panel["fieldConfig"]["defaults"]["custom"]
            assert custom.get("axisSoftMax") or "scaleDistribution" in custom, panel["title"]


@each_board
def test_panels_explain_themselves(uid: str) -> None:
    """Every panel has a title, a description of meaning and action, and a text for empty data."""
    for panel in panels(boards()[uid]):
        assert panel["title"]
        assert panel["description"].count("\n\n") >= 1, panel["title"]
        assert all(part.endswith((".", "?", ")")) for part in panel["description"].split("\n\n")), panel["title"]
        assert panel["fieldConfig"]["defaults"]["noValue"]


@each_board
def test_holes_stay_holes(uid: str) -> None:
    """A graph's text for empty data is no number, because Grafana would draw that number in gaps."""
    graphs = [panel for panel in panels(boards()[uid]) if panel["type"] in {"timeseries", "state-timeline"}]
    words = {panel["title"]: panel["fieldConfig"]["defaults"]["noValue"] for panel in graphs}
    assert {} == {title: word for title, word in words.items() if re.fullmatch(r"[-+.\d eE]+", word)}


@each_board
def test_units_exist(uid: str) -> None:
    """Every panel and every column has a unit that Grafana has, or a word behind the number."""
    for panel in panels(boards()[uid]):
        config = panel["fieldConfig"]
        units = [config["defaults"]["unit"]]
        units += [row["value"] for other in config["overrides"] for row in other["properties"] if row["id"] == "unit"]
        units += [value for key, value in walk(panel["options"]) if key == "unit"]
        assert [] == [unit for unit in units if unit not in UNITS and not unit.startswith("suffix:")], panel["title"]


@each_board
def test_panels_of_recorded_rates(uid: str) -> None:
    """Panels with recorded rates have at most a point per minute, few in all, and name the rules if they are empty."""
    for panel in panels(boards()[uid]):
        if any(":rate5m" in target["expr"] for target in panel["targets"]):
            assert ("1m", True) == (panel["interval"], panel["maxDataPoints"] <= 288), panel["title"]
            at_once = all(target["instant"] for target in panel["targets"])
            assert at_once or "rules of alerts/" in panel["fieldConfig"]["defaults"]["noValue"], panel["title"]


@each_board
def test_time_axes_are_readable(uid: str) -> None:
    """No graph has the unit s, which changes with the number and writes 1,000 s as 16.7 minutes."""
    graphs = [panel for panel in panels(boards()[uid]) if panel["type"] == "timeseries"]
    assert [] == [panel["title"] for panel in graphs if panel["fieldConfig"]["defaults"]["unit"] == "s"]


@each_board
def test_no_line_hides_another(uid: str) -> None:
    """No graph has lines of two of sent, received and started tasks, because these are equal most of the time."""
    for panel in panels(boards()[uid]):
        flows = [
            row["expr"] for row in panel["targets"] if re.search(r"celery_tasks_(sent|received|started)", row["expr"])
        ]
        assert len([expr for expr in flows if " - " not in expr]) <= 1 or panel["type"] != "timeseries", panel["title"]


def test_a_title_has_one_meaning() -> None:
    """Titles are unique in a dashboard; panels with the same title on several have the same kind, unit and window."""
    seen: dict[str, set[tuple[str, ...]]] = {}
    for tree in boards().values():
        titles = Counter(panel["title"] for panel in panels(tree))
        assert [] == [title for title, times in titles.items() if times > 1]
        for panel in panels(tree):
            windows = sorted({window for row in panel["targets"] for window in DURATION.findall(row["expr"])})
            defaults = panel["fieldConfig"]["defaults"]
            seen.setdefault(panel["title"], set()).add((panel["type"], defaults["unit"], *windows))
    assert {} == {title: meanings for title, meanings in seen.items() if len(meanings) > 1}


def test_half_of_redis_is_closed() -> None:
    """Half of the panels about Redis are in closed rows, which send no queries until they are opened."""
    tree = boards()["redis"]
    open_ones = [panel for panel in tree["panels"] if panel["type"] != "row"]
    assert len(open_ones) <= len(panels(tree)) / 2


@each_board
def test_kinds_of_panels(uid: str) -> None:
    """No panel is of a kind that Grafana has removed, or that compares angles."""
    assert set() == {panel["type"] for panel in panels(boards()[uid])} - KINDS


@each_board
def test_datasource_is_the_variable(uid: str) -> None:
    """Every data source is the variable."""
    sources = [value for key, value in walk(boards()[uid]) if key == "datasource"]
    assert sources
    assert [] == [source for source in sources if source != {"type": "prometheus", "uid": "${datasource}"}]


@each_board
def test_variables_are_used_and_defined(uid: str) -> None:
    """Every variable that a query uses is defined, and every defined variable is used."""
    tree = boards()[uid]
    queries = [target.expr for target in targets(tree)] + [series for series, _ in queries_of_variables(tree).values()]
    used = {name for expr in queries for name in re.findall(r"\$(?!__)(\w+)", expr)} | {"datasource"}
    assert used == set(variables(tree))


@each_board
def test_variables_work_without_their_label(uid: str) -> None:
    """All is the default, it matches series without the label, and the options follow the time shown."""
    for name, variable in variables(boards()[uid]).items():
        if name != "datasource":
            assert ["$__all"] == variable["current"]["value"]
            assert (".*", True, True, 2) == tuple(
                variable[key] for key in ("allValue", "includeAll", "multi", "refresh")
            )


@each_board
def test_links_lead_somewhere(uid: str) -> None:
    """Every link leads to an existing dashboard, keeps the time, and sets variables of that dashboard."""
    named = {tree["uid"]: tree for tree in boards().values()}
    urls = [value for key, value in walk(boards()[uid]["panels"]) if key == "url"]
    for url in urls:
        found = re.fullmatch(r"/d/([a-z-]+)\?(.+)", url)
        assert found
        assert found[1] in named
        assert "${__url_time_range}" in found[2]
        set_here = set(re.findall(r"var-(\w+)=", found[2])) | set(re.findall(r"\$\{(\w+):queryparam\}", found[2]))
        assert set() == set_here - set(variables(named[found[1]]))
    (link,) = boards()[uid]["links"]
    assert (True, True, True) == (link["keepTime"], link["includeVars"], link["asDropdown"])
    assert set(link["tags"]) <= set(boards()[uid]["tags"])


@each_board
def test_links_of_tables_name_columns(uid: str) -> None:
    """A link in a table takes its values from columns of that table."""
    for panel in panels(boards()[uid]):
        urls = " ".join(value for key, value in walk(panel["fieldConfig"]["overrides"]) if key == "url")
        assert set() == set(re.findall(r"__data\.fields\.([\w ]+)", urls)) - set(names_of_columns(panel).values())


@each_board
def test_nothing_is_unknown_to_the_sdk(uid: str) -> None:
    """Grafana's own model reads a dashboard and writes it again without losing a key."""
    tree = boards()[uid]
    again = json.loads(json.dumps(dashboard.Dashboard.from_json(json.loads(json.dumps(tree))), cls=JSONEncoder))
    assert [] == list(losses(tree, again))


@each_target
def test_metrics_and_labels_exist(target: Target) -> None:
    """Every metric, matcher, grouping, join and label of a legend exists in the exporter."""
    labels = result_labels(parse(target.expr), scraped()) or frozenset()
    assert set() == set(re.findall(r"\{\{(\w+)\}\}", target.legend)) - labels


@each_target
def test_matched_values_exist(target: Target) -> None:
    """A matcher on a label with a closed list of values names one of them."""
    closed = {
        (metric.name, label.name): set(re.findall(r"\w+", label.help))
        for metric in CATALOG.values()
        for label in metric.labels
        if label.closed
    }
    for selector in selectors(parse(target.expr)):
        for matcher in matchers(selector):
            listed = closed.get((selector.name or "", matcher.name))
            if listed is not None:
                assert [] == [value for value in matcher.value.split("|") if value not in listed]


@each_target
def test_windows_follow_the_time_shown(target: Target) -> None:
    """A window is that of the graph's step or of the time shown; only two tiles use the alerts' window."""
    known = {"$__rate_interval", "$__range"} | ({ALERTS_WINDOW} if target.panel in LIKE_THE_ALERTS else set())
    assert set() == set(DURATION.findall(target.expr)) - known


@each_target
def test_queries_stay_within_the_variables(target: Target) -> None:
    """Every selector is limited to the chosen clusters, namespaces, jobs, and to applications if it has that label."""
    values = {label: f"chosen-{label}" for label in GROUP_BY}
    for selector in selectors(promql.parse(fill_times(substitute(target.expr, values), 1, 1, 1))):
        # A server that several applications share has no label application, and neither have alerts about it.
        shared = is_about_redis(selector.name or "") or selector.name == "ALERTS"
        wanted = values | ({label: f"{values[label]}|" for label in OF_SERIES} if shared else {})
        chosen = {(matcher.name, matcher.value) for matcher in matchers(selector)}
        process = (selector.name or "").startswith(OF_PROCESS)
        labels = [label for label in GROUP_BY if not (process and label in OF_SERIES)]
        assert {(label, wanted[label]) for label in labels} <= chosen


@each_board
def test_servers_of_several_applications_are_options(uid: str) -> None:
    """The variable of servers has those of the chosen application, and those that several applications share."""
    series, _ = queries_of_variables(boards()[uid]).get("redis", ("", ""))
    assert not series or 'application=~"$application|"' in series


@each_target
def test_other_exporters_are_left_out(target: Target) -> None:
    """A metric whose name another exporter uses is read with the label that only this exporter's series have."""
    for selector in selectors(parse(target.expr)):
        name = selector.name or ""
        label = "redis" if name.startswith("redis_") else GUARDED.get(name)
        found = {(matcher.name, str(matcher.op), matcher.value) for matcher in matchers(selector)}
        assert label is None or any(row[0] == label and row[2] == "" for row in found), name


@each_target
def test_counters_are_seen_growing(target: Target) -> None:
    """Every counter is shown as a rate or an increase, and no other metric is."""
    expr = parse(target.expr)
    grown = {
        selector.name
        for node in every(expr)
        if isinstance(node, promql.Call) and node.func.name in COUNTING
        for selector in selectors(node)
    }
    counting = {
        selector.name
        for selector in selectors(expr)
        if (selector.name or "").endswith(("_total", "_bucket", "_sum", "_count"))
    }
    counting |= {selector.name for selector in selectors(expr) if CATALOG.get(selector.name or "") in NATIVE}
    counting -= {name for name, metric in CATALOG.items() if metric.kind is Kind.GAUGE}
    assert counting == grown


@each_board
def test_columns_of_tables_exist(uid: str) -> None:
    """Every column that a table names is a label of one of its queries, or the value of one."""
    for panel in panels(boards()[uid]):
        if panel["type"] != "table":
            continue
        letters = [target["refId"] for target in panel["targets"]]
        fields = {"Value"} if len(letters) == 1 else {f"Value #{letter}" for letter in letters}
        for target in panel["targets"]:
            fields |= result_labels(parse(target["expr"]), scraped()) or set()
        hidden = {name for step in panel["transformations"] for name in step["options"].get("excludeByName", {})}
        assert set(names_of_columns(panel)) | (hidden - {"Time"}) == fields, panel["title"]
        styled = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
        assert styled == set(names_of_columns(panel).values())


@each_board
def test_queries_of_variables_and_annotations(uid: str) -> None:
    """The queries of variables and annotations use metrics and labels that exist."""
    tree, known = boards()[uid], scraped()
    for series, label in queries_of_variables(tree).values():
        selector = promql.parse(substitute(series, {}))
        assert isinstance(selector, promql.VectorSelector)
        names = [row.value for row in matchers(selector) if row.name == "__name__"]
        for name in names[0].split("|") if names else [selector.name or ""]:
            assert label in known[name]
    for annotation in tree["annotations"]["list"]:
        labels = result_labels(parse(annotation["expr"].replace("$__interval", "15s")), known) or frozenset()
        shown = annotation["titleFormat"] + annotation["textFormat"]
        assert set() == set(re.findall(r"\{\{(\w+)\}\}", shown)) - labels


def test_colours_mean_the_same_everywhere() -> None:
    """A series has the same fixed colour in every panel of every dashboard."""
    seen: dict[str, set[str]] = {}
    for tree in boards().values():
        for panel in panels(tree):
            for override in panel["fieldConfig"]["overrides"]:
                for row in override["properties"]:
                    if row["id"] == "color":
                        seen.setdefault(override["matcher"]["options"], set()).add(row["value"]["fixedColor"])
    assert {} == {name: colours for name, colours in seen.items() if len(colours) > 1}


def named_panels(cell: str, titles: set[str]) -> list[str]:
    """Split a list of titles, some of which contain commas."""
    words, found = cell.split(", "), []
    while words:
        for length in range(len(words), 0, -1):
            if ", ".join(words[:length]) in titles:
                break
        found.append(", ".join(words[:length]))
        words = words[length:]
    return found


def test_figures_have_panels() -> None:
    """Every figure on the page names panels that exist, and every dashboard is on the page."""
    promised = README.partition("## Which panel shows what")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+) \| (`.+) \|$", promised, re.MULTILINE)
    assert len(rows) > 20
    for figure, cell in rows:
        for part in cell.split("; "):
            uid, _, listed = part.partition(": ")
            titles = {panel["title"] for panel in panels(boards()[uid.strip("`")])}
            assert [] == [title for title in named_panels(listed, titles) if title not in titles], figure
    for uid, tree in boards().items():
        assert f"| {tree['title']} | `{uid}.json` | `{tree['uid']}` | {tree['description']} |" in README


def test_page_names_what_exists() -> None:
    """Every file, flag and variable that the page names exists."""
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (FOLDER / link).exists(), link
    flags = set(re.findall(r"--[a-z][a-z-]*[a-z]", README)) - {"--write", "--enable-feature"}
    assert set() == flags - set(re.findall(r"--[a-z-]+[a-z]", HELP)) - {"--help"}
    section = README.partition("## Variables")[2].partition("\n## ")[0]
    assert {name for tree in boards().values() for name in variables(tree)} == set(
        re.findall(r"^\| `(\w+)`", section, re.MULTILINE)
    )
    for name in re.findall(r"`generator/(\w+\.py)`", README):
        assert (FOLDER / "generator" / name).exists()


def test_provisioning() -> None:
    """The provisioned data source is a Prometheus, and the provider reads a folder."""
    (source,) = yaml_text.parse((FOLDER / "provisioning/datasources/prometheus.yml").read_text(encoding="utf-8"))[
        "datasources"
    ]
    assert ("prometheus", True) == (source["type"], source["isDefault"])
    (provider,) = yaml_text.parse((FOLDER / "provisioning/dashboards/celery.yml").read_text(encoding="utf-8"))[
        "providers"
    ]
    assert ("file", "/var/lib/grafana/dashboards") == (provider["type"], provider["options"]["path"])
    assert provider["options"]["path"] in README


def test_the_wheel_takes_every_dashboard() -> None:
    """Each dashboard is named in pyproject.toml, without which it would be missing in an installation."""
    project = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text(encoding="utf-8"))
    taken = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert {f"grafana/{uid}.json": f"celery_redis_exporter/dashboards/{uid}.json" for uid in boards()} == taken
