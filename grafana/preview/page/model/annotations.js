/**
 * Events drawn over graphs, from the series that an annotation's query gives.
 *
 * Takes points that are above zero while something holds, gives regions with a text, by the rules of Grafana's
 * Prometheus data source.
 */

import { legendName } from './legend.js';

/** The moments of a series: where its value is the time itself, that; else the points where it is above zero. */
function moments(series, valueIsTime) {
  if (valueIsTime) return series.values.map(([, text]) => Math.floor(Number(text)));
  return series.values.filter(([, text]) => Number(text) > 0).map(([seconds]) => Math.floor(seconds * 1_000));
}

/** Turn one series into regions `[{ from, to, title }]`; moments no further apart than `step` are one region. */
export function annotationRegions(series, step, { titleFormat, useValueForTime }) {
  const title = legendName(titleFormat || '{{alertname}}', series.metric, '');
  const regions = [];
  for (const at of moments(series, useValueForTime)) {
    const last = regions[regions.length - 1];
    if (last && last.to + step >= at) last.to = at;
    else regions.push({ from: at, to: at, title });
  }
  return regions;
}
