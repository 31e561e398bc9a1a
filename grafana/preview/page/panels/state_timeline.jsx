/**
 * A state timeline: one row per series, one box per stretch of equal values.
 *
 * Takes frames with their field configuration applied. Drawn here in Grafana's look, because the panel's plugin is not
 * on npm.
 */

import React, { useCallback, useMemo } from 'react';
import { colorManipulator, FieldType, formattedValueToString, getFieldDisplayName } from '@grafana/data';
import { VizLayout, VizLegend } from '@grafana/ui';
import { joinStretches } from '../model/stretches.js';
import { cellPlace, RowPlot } from './row_plot.jsx';

const TEXT_GAP = 6;

function timelineRows(data, until) {
  return data.frames.flatMap((frame) => {
    const time = frame.fields.find((field) => field.type === FieldType.time);
    const fields = frame.fields.filter((field) => field !== time);
    return fields.map((field) => ({
      field,
      name: getFieldDisplayName(field, frame, data.frames),
      stretches: joinStretches(time.values, field.values, data.step, until),
    }));
  });
}

function paintBox(plot, place, text, color, { fillOpacity, showValue }) {
  const { ctx } = plot;
  ctx.fillStyle = colorManipulator.alpha(color, fillOpacity / 100);
  ctx.fillRect(place.left, place.top, Math.max(place.width - devicePixelRatio, 1), place.height);
  ctx.font = `${12 * devicePixelRatio}px Inter, sans-serif`;
  const room = place.width - 2 * TEXT_GAP * devicePixelRatio;
  if (showValue === 'never' || ctx.measureText(text).width > room) return;
  ctx.fillStyle = '#ffffff';
  ctx.textAlign = 'left';
  ctx.textBaseline = 'middle';
  ctx.fillText(text, place.left + TEXT_GAP * devicePixelRatio, place.top + place.height / 2);
}

function paintRows(plot, rows, options) {
  rows.forEach(({ field, stretches }, index) => {
    const middle = rows.length - index - 0.5;
    const half = options.rowHeight / 2;
    for (const { from, to, value } of stretches) {
      const shown = field.display(value);
      const place = cellPlace(plot, from, to, middle - half, middle + half);
      paintBox(plot, place, formattedValueToString(shown), shown.color ?? '#808080', options);
    }
  });
}

/** One legend entry per state that was seen. */
function legendItems(rows) {
  const seen = new Map();
  for (const { field, stretches } of rows) {
    for (const { value } of stretches) {
      const shown = field.display(value);
      seen.set(formattedValueToString(shown), shown.color);
    }
  }
  return [...seen].map(([label, color]) => ({ label, color, yAxis: 1 }));
}

export function StateTimelinePanel({ panel, data, context, width, height }) {
  const options = panel.options ?? {};
  const rows = useMemo(() => timelineRows(data, context.span.to), [data, context]);
  const labels = useMemo(() => rows.map((row, index) => ({ at: rows.length - index - 0.5, text: row.name })), [rows]);
  const fillOpacity = panel.fieldConfig?.defaults?.custom?.fillOpacity ?? 70;
  const drawn = { rowHeight: options.rowHeight ?? 0.9, showValue: options.showValue ?? 'auto', fillOpacity };
  const paint = useCallback((plot) => paintRows(plot, rows, drawn), [rows]);
  const legend =
    options.legend?.showLegend === false ? null : (
      <VizLayout.Legend placement="bottom">
        <VizLegend placement="bottom" items={legendItems(rows)} displayMode="list" readonly />
      </VizLayout.Legend>
    );
  return (
    <VizLayout width={width} height={height} legend={legend}>
      {(plotWidth, plotHeight) => (
        <RowPlot
          rows={rows.length}
          labels={labels}
          paint={paint}
          context={context}
          width={plotWidth}
          height={plotHeight}
        />
      )}
    </VizLayout>
  );
}
