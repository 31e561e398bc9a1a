# SPDX-License-Identifier: Apache-2.0
"""Render rules as a Jsonnet mixin: a library of rules and dashboards with a ``_config`` that users can change.

Input: the groups. Output: ``alerts/mixin.libsonnet``. Jsonnet does what ``fill`` and ``select`` do elsewhere: it
inserts parameters, grouping, and matchers. The same values have the same result as with ``render alerts``.
"""

from collections.abc import Mapping, Sequence

from celery_redis_exporter.alerts.links import (
    DASHBOARDS,
    RUNBOOKS,
    SINCE,
    VARIABLES,
    dashboard_uid,
    fill_variable,
    own_variables,
)
from celery_redis_exporter.alerts.rule import (
    GROUP_BY,
    OF_SERIES,
    Alert,
    Parametrised,
    Recording,
    RuleGroup,
    show_number,
)
from celery_redis_exporter.alerts.selectors import select_guarded

SELECTOR = "__selector__"
"""Placeholder of the matchers of ``_config`` in an expression."""
HEAD = """\
// Written by `{command}`: the rules and dashboards as a mixin.
//
// local celery = (import 'mixin.libsonnet') + {{ _config+:: {{
//   selector: 'job="celery"',
//   alerts+: {{ CeleryQueueLong+: {{ 'for': '1h', parameters+: {{ messages: 500 }} }} }},
// }} }};
// std.manifestYamlDoc(celery.prometheusAlerts)

// Writes 0.05 as people do; std.toString would write 0.050000000000000003.
local number(x) =
  if std.isString(x) then x else
    local digits = [n for n in std.range(0, 15) if std.floor(x * std.pow(10, n) + 0.5) / std.pow(10, n) == x];
    if digits == [] then std.toString(x) else '%.*f' % [digits[0], x];

local defaults = {{
{alerts}
}};

{{
  _config+:: {{
    // Matchers that are put into every selector, as in 'job="celery"'.
    selector: '',
    // Labels that distinguish applications.
    groupBy: {group_by},
    // Labels on every alert.
    labels: {{}},
    // Absolute addresses make links; those to dashboards carry the labels of the alert.
    runbookUrl: {runbooks},
    dashboardUrl: {dashboards},
    // Names of alerts that are left out.
    disabled: [],
    // What each alert waits for, how long it goes on firing, its severity and its parameters, as above.
    alerts: defaults,
  }},

  local config = $._config,
  local unknown = [
    name
    for name in config.disabled + std.objectFields(config.alerts)
    if !std.objectHas(defaults, name)
  ] + [
    name + '.' + key
    for name in std.objectFields(defaults)
    for key in std.objectFields(config.alerts[name].parameters)
    if !std.objectHas(defaults[name].parameters, key)
  ],
  assert unknown == [] : 'there is no ' + std.join(', ', unknown),
  local values = {{
    by: std.join(', ', config.groupBy),
    target: std.join(', ', [label for label in config.groupBy if !std.member({of_series}, label)]),
    only: if config.selector == '' then '' else '{{' + config.selector + '}}',
    also: if config.selector == '' then '' else config.selector + ', ',
  }},
  local variables = {{
{variables}
  }},
  local dashboard(panel, labels) =
    config.dashboardUrl + '/' + panel + if config.dashboardUrl == {dashboards} then '' else
      {since} + std.join('', [
        variables[name]
        for name in {names}
        if std.member(config.groupBy, name) || std.member(labels, name)
      ]),
  local alert(name, panel, variables, summary, description, expr) =
    local own = config.alerts[name];
    {{
      alert: name,
      expr: expr(values, {{ [key]: number(own.parameters[key]) for key in std.objectFields(own.parameters) }}),
      [if own['for'] != '' then 'for']: own['for'],
      [if own.keep_firing_for != '' then 'keep_firing_for']: own.keep_firing_for,
      labels: {{ severity: own.severity }} + config.labels,
      annotations: {{
        summary: summary,
        description: description,
        runbook_url: config.runbookUrl + '#' + std.asciiLower(name),
        dashboard_url: dashboard(panel, variables),
      }},
    }},
  local record(name, expr) = {{ record: name, expr: expr(values) }},
  local groups(found) = {{
    groups+: [
      {{
        name: name,
        rules: [rule for rule in found[name] if !std.member(config.disabled, std.get(rule, 'alert', ''))],
      }}
      for name in std.objectFields(found)
    ],
  }},

  prometheusAlerts+:: groups({{
{alert_groups}
  }}),

  prometheusRules+:: groups({{
{record_groups}
  }}),

  grafanaDashboards+:: {{
{boards}
  }},
}}
"""


def render_mixin(groups: Sequence[RuleGroup], command: str) -> str:
    """Return the library. ``command`` is the command that writes it."""
    alerts = [alert for group in groups for alert in group.alerts]
    boards = sorted({alert.panel for alert in alerts})
    return HEAD.format(
        command=command,
        group_by=_list(GROUP_BY),
        of_series=_list(OF_SERIES),
        runbooks=_quote(RUNBOOKS),
        dashboards=_quote(DASHBOARDS),
        since=_quote(SINCE),
        names=_list(VARIABLES),
        alerts="\n".join(f"  {alert.name}: {_defaults(alert)}," for alert in alerts),
        variables="\n".join(f"    {name}: {_quote(fill_variable(name))}," for name in VARIABLES),
        alert_groups="\n".join(_group(group.name, [_alert(alert) for alert in group.alerts]) for group in groups),
        record_groups="\n".join(
            _group(f"{group.name}-recorded", [_recording(row) for row in group.recordings])
            for group in groups
            if group.recordings
        ),
        boards="\n".join(f"    '{name}.json': import '../grafana/{name}.json'," for name in boards),
    )


def _defaults(alert: Alert) -> str:
    rows = ", ".join(f"{name}: {show_number(value)}" for name, value in alert.parameters.items())
    parameters = f"{{ {rows} }}" if rows else "{}"
    return (
        f"{{ 'for': {_quote(alert.wait)}, keep_firing_for: {_quote(alert.keep)}, severity: {_quote(alert.severity)},"
        f" parameters: {parameters} }}"
    )


def _group(name: str, rules: Sequence[str]) -> str:
    return f"    {_quote(name)}: [\n" + "".join(f"      {rule},\n" for rule in rules) + "    ],"


def _recording(row: Recording) -> str:
    return f"record({_quote(row.record)},\n        function(v) {_expression(row.expr, {})})"


def _alert(alert: Alert) -> str:
    where = f"{_quote(alert.name)}, {_quote(dashboard_uid(alert.panel))}, {_list(sorted(own_variables(alert)))}"
    expr = f"function(v, p) {_expression(alert.expr, alert.parameters)}"
    lines = (where, *map(_quote, (alert.summary, alert.description)), expr)
    return "alert(" + ",\n        ".join(lines) + ")"


def _expression(text: str, parameters: Mapping[str, float]) -> str:
    """Return an expression as a concatenation of text, values of ``v`` and parameters of ``p``."""
    places = {name: _place(f"p.{name}") for name in parameters}
    filled = Parametrised(text).substitute(places, by=_place("v.by"), target=_place("v.target"))
    selected = select_guarded(filled, SELECTOR)
    selected = selected.replace(f"{{{SELECTOR}}}", _place("v.only")).replace(f"{SELECTOR}, ", _place("v.also"))
    parts = selected.split("\0")
    return " + ".join(part if number % 2 else _quote(part) for number, part in enumerate(parts) if part)


def _place(name: str) -> str:
    return f"\0{name}\0"


def _list(names: Sequence[str]) -> str:
    return f"[{', '.join(map(_quote, names))}]"


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
