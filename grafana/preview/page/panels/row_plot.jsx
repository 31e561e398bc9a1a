/**
 * A plot of labelled rows over time: what the heatmap and the state timeline have in common.
 *
 * Takes the labels with their heights on the axis and a function that paints; gives Grafana's axes, grid and fonts.
 */

import React, { useMemo } from 'react';
import { UPlotChart, UPlotConfigBuilder } from '@grafana/ui';
import { AnnotationMarks } from './annotation_marks.jsx';

function buildConfig({ rows, labels, context, paint, grid }) {
  const builder = new UPlotConfigBuilder('utc');
  const { from, to } = context.span;
  builder.addScale({ scaleKey: 'x', isTime: true, orientation: 0, direction: 1, range: () => [from, to] });
  builder.addScale({ scaleKey: 'y', isTime: false, orientation: 1, direction: 1, range: () => [0, rows] });
  builder.addAxis({
    scaleKey: 'x',
    isTime: true,
    placement: 'bottom',
    timeZone: 'utc',
    theme: context.theme,
    grid: { show: true },
  });
  builder.addAxis({
    scaleKey: 'y',
    placement: 'left',
    theme: context.theme,
    splits: labels.map((label) => label.at),
    values: labels.map((label) => label.text),
    grid: { show: grid },
    ticks: { show: grid },
  });
  const hidden = {
    pathBuilder: () => null,
    pointsBuilder: () => null,
    showPoints: 'never',
    drawStyle: 'line',
    show: true,
  };
  builder.addSeries({ scaleKey: 'y', theme: context.theme, ...hidden });
  builder.addHook('drawAxes', (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    paint(plot);
    ctx.restore();
  });
  builder.scaleKeys = ['x', 'y'];
  return builder;
}

/** A rectangle in canvas pixels, from times and heights on the axes. */
export function cellPlace(plot, from, to, low, high) {
  const left = plot.valToPos(from, 'x', true);
  const top = plot.valToPos(high, 'y', true);
  return { left, top, width: plot.valToPos(to, 'x', true) - left, height: plot.valToPos(low, 'y', true) - top };
}

export function RowPlot({ rows, labels, paint, context, width, height, grid = false }) {
  const config = useMemo(
    () => buildConfig({ rows, labels, context, paint, grid }),
    [rows, labels, context, paint, grid],
  );
  const data = useMemo(
    () => [
      [context.span.from, context.span.to],
      [0, 0],
    ],
    [context],
  );
  return (
    <UPlotChart config={config} data={data} width={width} height={height}>
      <AnnotationMarks config={config} context={context} />
    </UPlotChart>
  );
}
