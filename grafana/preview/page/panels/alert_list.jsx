/**
 * The list of alerts that fire or wait to, from Prometheus's own ALERTS series.
 *
 * Grafana's panel asks its alerting service instead; what is shown is the same, the grouping is simpler.
 */

import React from 'react';
import { Icon } from '@grafana/ui';
import { substituteText } from '../model/variables.js';
import { queryInstant } from '../data/prometheus.js';

const STATES = { firing: ['firing', 'error'], pending: ['pending', 'warning'] };

function ago(seconds) {
  if (seconds < 60) return `${Math.round(seconds)}s`;
  if (seconds < 3_600) return `${Math.round(seconds / 60)}m`;
  return `${Math.floor(seconds / 3_600)}h ${Math.round((seconds % 3_600) / 60)}m`;
}

/** Group alerts by name and state, firing first; the start is that of the oldest one. */
function groupAlerts(alerts, starts, now) {
  const groups = new Map();
  for (const { metric } of alerts) {
    const key = `${metric.alertstate} ${metric.alertname}`;
    const group = groups.get(key) ?? {
      name: metric.alertname,
      state: metric.alertstate,
      count: 0,
      severity: metric.severity,
    };
    group.count += 1;
    groups.set(key, group);
  }
  for (const group of groups.values()) {
    const own = starts.filter(({ metric }) => metric.alertname === group.name).map(({ value }) => Number(value[1]));
    group.since = own.length ? now / 1_000 - Math.min(...own) : undefined;
  }
  return [...groups.values()].sort(
    (one, other) => one.state.localeCompare(other.state) || one.name.localeCompare(other.name),
  );
}

/** Ask which alerts a panel lists. */
export async function loadAlerts(panel, context) {
  const options = panel.options ?? {};
  const { firing = true, pending = true } = options.stateFilter ?? {};
  const states = [firing && 'firing', pending && 'pending'].filter(Boolean).join('|') || 'firing';
  const matchers = substituteText(options.alertInstanceLabelFilter ?? '', context.variables)
    .replace(/^\{|\}$/g, '')
    .trim();
  const alerts = await queryInstant(
    `ALERTS{alertstate=~"${states}"${matchers ? `, ${matchers}` : ''}}`,
    context.span.to,
  );
  const starts = await queryInstant(`ALERTS_FOR_STATE${matchers ? `{${matchers}}` : ''}`, context.span.to);
  const named = alerts.filter(({ metric }) => metric.alertname.includes(options.alertName ?? ''));
  return groupAlerts(named, starts, context.span.to);
}

function AlertLine({ alert, theme }) {
  const [text, color] = STATES[alert.state];
  const shade = theme.colors[color].text;
  return (
    <li
      style={{
        display: 'flex',
        gap: 10,
        alignItems: 'center',
        padding: '6px 8px',
        marginBottom: 4,
        background: theme.colors.background.secondary,
        borderRadius: 2,
      }}
    >
      <Icon name={alert.state === 'firing' ? 'exclamation-circle' : 'clock-nine'} size="lg" style={{ color: shade }} />
      <div>
        <div style={{ fontWeight: 500 }}>{alert.name}</div>
        <div style={{ fontSize: 12, color: theme.colors.text.secondary }}>
          <span style={{ color: shade }}>{text}</span>
          {alert.since === undefined ? '' : ` for ${ago(alert.since)}`}
          {alert.count > 1 ? ` · ${alert.count} instances` : ''}
          {alert.severity ? ` · ${alert.severity}` : ''}
        </div>
      </div>
    </li>
  );
}

export function AlertListPanel({ data, context, width, height }) {
  const place = { width, height, overflow: 'hidden', listStyle: 'none', margin: 0 };
  if (!data.alerts.length) {
    return (
      <div style={{ ...place, display: 'grid', placeItems: 'center', color: context.theme.colors.text.secondary }}>
        No alerts match
      </div>
    );
  }
  return (
    <ol style={place}>
      {data.alerts.map((alert) => (
        <AlertLine key={`${alert.state} ${alert.name}`} alert={alert} theme={context.theme} />
      ))}
    </ol>
  );
}
