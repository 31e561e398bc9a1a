/** The grid of panels, with the headings of its rows. */

import React from 'react';
import { Icon } from '@grafana/ui';
import { gridHeight, pixelPlace } from '../model/layout.js';
import { Panel } from './panel.jsx';

function RowHeading({ panel, place, context }) {
  const { theme } = context;
  const count = panel.panels?.length ?? 0;
  const style = {
    position: 'absolute',
    ...place,
    display: 'flex',
    alignItems: 'center',
    gap: 8,
    color: theme.colors.text.primary,
  };
  return (
    <div style={style}>
      <Icon name={panel.collapsed ? 'angle-right' : 'angle-down'} />
      <span style={{ fontSize: theme.typography.h5.fontSize, fontWeight: 500 }}>
        {context.replaceText(panel.title ?? '')}
      </span>
      {panel.collapsed && count > 0 && (
        <span style={{ color: theme.colors.text.secondary, fontStyle: 'italic' }}>({count} panels)</span>
      )}
    </div>
  );
}

export function Grid({ placed, width, context, report }) {
  return (
    <div style={{ position: 'relative', width, height: gridHeight(placed) }}>
      {placed.map((panel) => {
        const place = pixelPlace(panel.gridPos, width);
        if (panel.type === 'row') return <RowHeading key={panel.id} panel={panel} place={place} context={context} />;
        return (
          <div key={panel.id} style={{ position: 'absolute', left: place.left, top: place.top }}>
            <Panel panel={panel} place={place} context={context} report={report} />
          </div>
        );
      })}
    </div>
  );
}
