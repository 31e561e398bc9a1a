/**
 * A heatmap of a histogram's buckets over time.
 *
 * Takes one frame with a field per bucket, rising, each with its own counts. Drawn here in Grafana's colours on
 * Grafana's axes, because the panel's plugin is not on npm.
 */

import React, { useCallback, useMemo } from 'react';
import { FieldType, formattedValueToString, getValueFormat } from '@grafana/data';
import { colourShare, countRange, labelledRows } from '../model/buckets.js';
import { heatmapPalette } from './heatmap_palette.js';
import { cellPlace, RowPlot } from './row_plot.jsx';

const LEGEND_HEIGHT = 34;
const LEAST_LABEL = 22;
const SCALE_WIDTH = 260;

function boundText(le, options) {
  const value = Number(le);
  if (!Number.isFinite(value)) return le;
  const { unit = 'none', decimals } = options.yAxis ?? {};
  return formattedValueToString(getValueFormat(unit)(value, decimals ?? undefined));
}

// What is left of a count after subtracting a bucket's neighbour may be rounding alone.
const ROUNDING = 1e-9;

/** What is drawn of each count, and the range of counts that the colours stand for. */
function readScale(fields, options) {
  const floor = options.filterValues?.le ?? ROUNDING;
  const found = countRange(
    fields.map((field) => field.values),
    floor,
  );
  return { floor, least: options.color?.min ?? found.least, most: options.color?.max ?? found.most };
}

function paintCells(plot, { frame, fields, scale, palette, step, gap }) {
  const times = frame.fields[0].values;
  fields.forEach((field, row) => {
    field.values.forEach((count, index) => {
      if (!(count > scale.floor)) return;
      const share = colourShare(count, scale);
      const place = cellPlace(plot, times[index] - step, times[index], row, row + 1);
      plot.ctx.fillStyle = palette[Math.round(share * (palette.length - 1))];
      // On whole pixels: narrow cells would fade into one another otherwise.
      const size = (length) => Math.max(1, Math.round(length - gap));
      plot.ctx.fillRect(Math.round(place.left), Math.round(place.top), size(place.width), size(place.height));
    });
  });
}

function ColourScale({ palette, scale, options, theme }) {
  const stops = palette.filter((_, index) => index % 4 === 0 || index === palette.length - 1).join(', ');
  const { unit = 'short', decimals } = options.cellValues ?? {};
  const text = (value) => formattedValueToString(getValueFormat(unit)(value, decimals ?? undefined));
  return (
    <div
      style={{ height: LEGEND_HEIGHT, paddingLeft: 8, paddingTop: 2, color: theme.colors.text.secondary, fontSize: 12 }}
    >
      <div style={{ width: SCALE_WIDTH, height: 8, background: `linear-gradient(90deg, ${stops})` }} />
      <div style={{ width: SCALE_WIDTH, display: 'flex', justifyContent: 'space-between' }}>
        <span>{text(scale.least)}</span>
        <span>{text(scale.most)}</span>
      </div>
    </div>
  );
}

export function HeatmapPanel({ panel, data, context, width, height }) {
  const options = panel.options ?? {};
  const frame = data.frames[0];
  const fields = useMemo(() => frame.fields.filter((field) => field.type === FieldType.number), [frame]);
  const palette = useMemo(() => heatmapPalette(options.color ?? {}, context.theme), [options, context]);
  const scale = useMemo(() => readScale(fields, options), [fields, options]);
  const showScale = options.legend?.show !== false;
  const plotHeight = height - (showScale ? LEGEND_HEIGHT : 0);
  const labels = useMemo(() => {
    const rowHeight = (plotHeight - 30) / fields.length;
    return labelledRows(fields.length, rowHeight, LEAST_LABEL).map((row) => ({
      at: row + 1,
      text: boundText(fields[row].name, options),
    }));
  }, [fields, options, plotHeight]);
  const gap = (options.cellGap ?? 1) * devicePixelRatio;
  const paint = useCallback(
    (plot) => paintCells(plot, { frame, fields, scale, palette, step: data.step, gap }),
    [frame, fields, scale, palette, data, gap],
  );
  return (
    <>
      <RowPlot
        rows={fields.length}
        labels={labels}
        paint={paint}
        context={context}
        width={width}
        height={plotHeight}
        grid
      />
      {showScale && <ColourScale palette={palette} scale={scale} options={options} theme={context.theme} />}
    </>
  );
}
