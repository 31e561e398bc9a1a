/**
 * Data frames from Prometheus's answers, shaped as Grafana's Prometheus data source shapes them.
 *
 * Takes series and the target they answer; gives frames of @grafana/data. Never drops a series.
 */

import { FieldType, toDataFrame } from '@grafana/data';
import { legendName } from '../model/legend.js';
import { separateBuckets } from '../model/buckets.js';
import { sampleValue } from './prometheus.js';

const points = (series) => series.values ?? [series.value];

/** One frame per series, with the time and the value. */
export function seriesFrames(answer, target, step) {
  return answer.map((series) => {
    const name = legendName(target.legendFormat, series.metric, target.expr);
    const times = points(series).map(([at]) => at * 1_000);
    const values = points(series).map(([, text]) => sampleValue(text));
    const time = { name: 'Time', type: FieldType.time, values: times, config: { interval: step } };
    const config = name === undefined ? {} : { displayNameFromDS: name };
    const value = { name: 'Value', type: FieldType.number, labels: series.metric, values, config };
    const frame = toDataFrame({ refId: target.refId, name, fields: [time, value] });
    frame.meta = { type: 'timeseries-multi' };
    return frame;
  });
}

/** One frame for all series, with a column per label; `alone` says that the panel has no other query. */
export function tableFrame(answer, target, alone) {
  const labels = [...new Set(answer.flatMap((series) => Object.keys(series.metric)))].sort();
  const rows = answer.flatMap((series) =>
    points(series).map(([at, text]) => [at * 1_000, series.metric, sampleValue(text)]),
  );
  const label = (name) => ({
    name,
    type: FieldType.string,
    values: rows.map((row) => row[1][name] ?? ''),
    config: { filterable: true },
  });
  const fields = [
    { name: 'Time', type: FieldType.time, values: rows.map((row) => row[0]), config: {} },
    ...labels.map(label),
    {
      name: alone ? 'Value' : `Value #${target.refId}`,
      type: FieldType.number,
      values: rows.map((row) => row[2]),
      config: {},
    },
  ];
  return toDataFrame({ refId: target.refId, meta: { preferredVisualisationType: 'table' }, fields });
}

/** One frame with a field per bucket, rising, each with the counts of that bucket alone. */
export function heatmapFrame(answer, target, step) {
  const times = [...new Set(answer.flatMap((series) => series.values.map(([at]) => at)))].sort(
    (one, other) => one - other,
  );
  const series = answer.map(({ metric, values }) => {
    const known = new Map(values.map(([at, text]) => [at, sampleValue(text)]));
    return {
      le: metric.le ?? legendName(target.legendFormat, metric, target.expr),
      values: times.map((at) => known.get(at) ?? null),
    };
  });
  const rows = separateBuckets(series);
  const fields = [
    { name: 'Time', type: FieldType.time, values: times.map((at) => at * 1_000), config: { interval: step } },
  ];
  for (const row of rows)
    fields.push({ name: row.le, type: FieldType.number, values: row.values, labels: { le: row.le }, config: {} });
  return toDataFrame({ refId: target.refId, meta: { type: 'heatmap-rows' }, fields });
}
