/**
 * A table, drawn by the component that Grafana's own table panel uses.
 *
 * Takes the frame that the panel names, without the box that chooses among several. `@grafana/ui` marks the component
 * unstable, so its version is pinned.
 */

import React from 'react';
import { TableNG } from '@grafana/ui/unstable';
import { readFieldConfig } from '../fields/field_config.js';

export function TablePanel({ panel, data, context, width, height }) {
  const options = panel.options ?? {};
  const frame = data.frames[options.frameIndex ?? 0] ?? data.frames[0];
  return (
    <TableNG
      data={frame}
      width={width}
      height={height}
      noHeader={options.showHeader === false}
      sortBy={options.sortBy}
      cellHeight={options.cellHeight}
      frozenColumns={options.frozenColumns?.left}
      enablePagination={options.enablePagination}
      timeRange={context.timeRange}
      fieldConfig={readFieldConfig(panel)}
      noValue={panel.fieldConfig?.defaults?.noValue}
      enableVirtualization={false}
      structureRev={1}
      getActions={() => []}
    />
  );
}
