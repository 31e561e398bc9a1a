/** The bars above the panels: where one is, the time span, the variables and their values, the links. */

import React from 'react';
import { dateTimeFormat } from '@grafana/data';
import { Icon } from '@grafana/ui';

const HIDDEN = 2;
const WITHOUT_LABEL = 1;

function Box({ theme, children, plain, style }) {
  const own = {
    display: 'flex',
    alignItems: 'center',
    gap: 6,
    height: 32,
    padding: '0 8px',
    whiteSpace: 'nowrap',
    background: plain ? theme.colors.background.secondary : theme.components.input.background,
    border: `1px solid ${theme.components.input.borderColor}`,
  };
  return <div style={{ ...own, ...style }}>{children}</div>;
}

function Variable({ variable, theme }) {
  return (
    <div style={{ display: 'flex' }}>
      {variable.hide !== WITHOUT_LABEL && (
        <Box theme={theme} plain style={{ fontSize: 12, fontWeight: 500, borderRight: 0, borderRadius: '2px 0 0 2px' }}>
          {variable.label}
        </Box>
      )}
      <Box theme={theme} style={{ borderRadius: '0 2px 2px 0', minWidth: 56, justifyContent: 'space-between' }}>
        <span style={{ maxWidth: 260, overflow: 'hidden', textOverflow: 'ellipsis' }}>{variable.text}</span>
        <Icon name="angle-down" />
      </Box>
    </div>
  );
}

function spanText(span, raw) {
  if (raw.words) return raw.words;
  const text = (at) => dateTimeFormat(at, { timeZone: 'utc', format: 'YYYY-MM-DD HH:mm:ss' });
  return `${text(span.from)} to ${text(span.to)}`;
}

function TimeBar({ context, job }) {
  const { theme } = context;
  return (
    <div style={{ display: 'flex', gap: 8 }}>
      <Box theme={theme} plain style={{ borderRadius: 2 }}>
        <Icon name="clock-nine" />
        {spanText(context.span, job.rawRange)}
        <span style={{ color: theme.colors.warning.text, fontSize: 12 }}>UTC</span>
        <Icon name="angle-down" />
      </Box>
      <Box theme={theme} plain style={{ borderRadius: 2 }}>
        <Icon name="sync" />
        Refresh
        {job.dashboard.refresh && <span style={{ color: theme.colors.text.secondary }}>{job.dashboard.refresh}</span>}
      </Box>
    </div>
  );
}

function Links({ links, theme }) {
  return links.map((link) => (
    <Box key={link.title} theme={theme} plain style={{ borderRadius: 2 }}>
      <Icon name={link.type === 'dashboards' ? 'bars' : 'external-link-alt'} />
      {link.title}
      {link.asDropdown && <Icon name="angle-down" />}
    </Box>
  ));
}

export function Header({ job, context }) {
  const { theme } = context;
  const shown = Object.entries(context.chosen).filter(([, variable]) => variable.hide !== HIDDEN);
  const events = (job.dashboard.annotations?.list ?? []).filter(
    (each) => each.enable !== false && !each.builtIn && !each.hide,
  );
  const bar = { display: 'flex', alignItems: 'center', justifyContent: 'space-between', gap: 16, flexWrap: 'wrap' };
  return (
    <header>
      <div
        style={{
          ...bar,
          padding: '0 16px',
          height: 44,
          background: theme.colors.background.primary,
          borderBottom: `1px solid ${theme.colors.border.weak}`,
        }}
      >
        <div style={{ display: 'flex', gap: 8, alignItems: 'center' }}>
          <span style={{ color: theme.colors.text.secondary }}>Dashboards</span>
          <Icon name="angle-right" />
          <span style={{ fontWeight: 500 }}>{job.dashboard.title}</span>
        </div>
        <TimeBar context={context} job={job} />
      </div>
      <div style={{ ...bar, padding: '12px 16px 12px' }}>
        <div style={{ display: 'flex', gap: 12, flexWrap: 'wrap' }}>
          {shown.map(([name, variable]) => (
            <Variable key={name} variable={variable} theme={theme} />
          ))}
          {events.map((each) => (
            <Box key={each.name} theme={theme} style={{ border: 0, background: 'none', padding: 0 }}>
              <span
                style={{
                  width: 8,
                  height: 8,
                  borderRadius: 4,
                  background: theme.visualization.getColorByName(each.iconColor),
                }}
              />
              {each.name}
            </Box>
          ))}
        </div>
        <div style={{ display: 'flex', gap: 8 }}>
          <Links links={job.dashboard.links ?? []} theme={theme} />
        </div>
      </div>
    </header>
  );
}
