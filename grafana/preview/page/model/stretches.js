/**
 * Stretches of a state timeline from points.
 *
 * Takes times and values, gives stretches of equal values. A hole longer than the points are apart ends a stretch:
 * never draws a state over a time that nobody measured.
 */

/** Join points into `[{ from, to, value }]`; `step` is how far apart they are, in ms, `until` the picture's end. */
export function joinStretches(times, values, step, until) {
  const stretches = [];
  for (let index = 0; index < times.length; index += 1) {
    const value = values[index];
    if (value === null || value === undefined || Number.isNaN(value)) continue;
    const end = Math.min(times[index] + step, until);
    const last = stretches[stretches.length - 1];
    if (last && last.value === value && times[index] <= last.to) last.to = end;
    else stretches.push({ from: times[index], to: end, value });
  }
  return stretches;
}
