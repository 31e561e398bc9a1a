/**
 * A few exemplars out of many, as Grafana's Prometheus data source picks them.
 *
 * Takes `[{ at, value }]`, gives those to draw: the highest of each step, and lower ones that differ enough from it.
 */

const FAR = 2;

function deviation(values) {
  if (values.length < 2) return 0;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}

/** Keep exemplars of one step only where they are two standard deviations apart; `step` is in milliseconds. */
export function thinExemplars(exemplars, step) {
  const apart = FAR * deviation(exemplars.map(({ value }) => value));
  const buckets = new Map();
  for (const each of exemplars) {
    const bucket = Math.floor(each.at / step);
    buckets.set(bucket, [...(buckets.get(bucket) ?? []), each]);
  }
  return [...buckets.values()].flatMap((bucket) => {
    const kept = [];
    for (const each of bucket.sort((one, other) => other.value - one.value)) {
      const last = kept[kept.length - 1];
      if (!last || (apart > 0 && last.value - each.value >= apart)) kept.push(each);
    }
    return kept;
  });
}
