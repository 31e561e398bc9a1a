/**
 * Cells of a heatmap from the cumulative buckets of a Prometheus histogram.
 *
 * Takes series with an `le` label, gives rows in rising order with the count of each bucket alone. Never gives a
 * negative count: counters read a moment apart may differ by less than nothing.
 */

const upperBound = (le) => (/^\+?inf$/i.test(le) ? Infinity : Number(le));

/** Turn `[{ le, values }]` of one histogram into `[{ le, bound, values }]` with counts per bucket. */
export function separateBuckets(series) {
  const rows = series
    .map((row) => ({ ...row, bound: upperBound(row.le) }))
    .sort((one, other) => one.bound - other.bound);
  return rows.map((row, index) => {
    const below = index ? rows[index - 1].values : null;
    const values = row.values.map((value, at) => {
      if (value === null || value === undefined) return null;
      return Math.max(0, value - (below?.[at] ?? 0));
    });
    return { ...row, values };
  });
}

/** Which rows get a label, so that labels `least` pixels high do not overlap in rows `height` pixels high. */
export function labelledRows(count, height, least) {
  const every = Math.max(1, Math.ceil(least / Math.max(height, 1)));
  return Array.from({ length: count }, (_, index) => index).filter((index) => index % every === 0);
}

/** The lowest and the highest count of those above `floor`; `least` and `most` are both 0 where there is none. */
export function countRange(rows, floor) {
  let [least, most] = [Infinity, 0];
  for (const values of rows) {
    for (const value of values) {
      if (!(value > floor)) continue;
      least = Math.min(least, value);
      most = Math.max(most, value);
    }
  }
  return most ? { least, most } : { least: 0, most: 0 };
}

/** The share of the colour scale that a count takes, from 0 to 1. */
export function colourShare(count, { least, most }) {
  if (most <= least) return 1;
  return Math.min(1, Math.max(0, (count - least) / (most - least)));
}
