/**
 * How far apart the points of a range query are, as Grafana's Prometheus data source would choose it.
 *
 * Takes the time span, the panel's width and the least interval; gives milliseconds, and the values of `$__interval`,
 * `$__rate_interval` and `$__range`. Never asks for more points than Prometheus answers with.
 */

const MOST_POINTS = 11_000;

/** The lengths that Grafana rounds to, in milliseconds; a length belongs to the last one whose start it reaches. */
const ROUND_LENGTHS = [
  [0, 1],
  [10, 10],
  [15, 20],
  [35, 50],
  [75, 100],
  [150, 200],
  [350, 500],
  [750, 1_000],
  [1_500, 2_000],
  [3_500, 5_000],
  [7_500, 10_000],
  [12_500, 15_000],
  [17_500, 20_000],
  [25_000, 30_000],
  [45_000, 60_000],
  [90_000, 120_000],
  [210_000, 300_000],
  [450_000, 600_000],
  [750_000, 900_000],
  [1_050_000, 1_200_000],
  [1_500_000, 1_800_000],
  [2_700_000, 3_600_000],
  [5_400_000, 7_200_000],
  [9_000_000, 10_800_000],
  [16_200_000, 21_600_000],
  [32_400_000, 43_200_000],
  [86_400_000, 86_400_000],
  [604_800_000, 604_800_000],
  [1_814_400_000, 2_592_000_000],
  [3_628_800_000, 31_536_000_000],
];

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000, y: 31_536_000_000 };

/** Read a duration such as `15s`, `1m` or `>30s` as milliseconds; 0 where nothing is given. */
export function durationMs(text) {
  if (!text) return 0;
  const found = /^>?\s*(\d+(?:\.\d+)?)\s*(ms|[smhdwy])$/.exec(String(text).trim());
  if (!found) throw new Error(`not a duration: ${text}`);
  return Number(found[1]) * UNITS[found[2]];
}

/** Write milliseconds as a duration that Prometheus understands. */
export function durationText(ms) {
  for (const unit of ['d', 'h', 'm', 's']) {
    if (ms >= UNITS[unit] && ms % UNITS[unit] === 0) return `${ms / UNITS[unit]}${unit}`;
  }
  return `${Math.round(ms)}ms`;
}

/** Round a length to one that reads well on a time axis. */
export function roundLength(ms) {
  let rounded = 1;
  for (const [from, length] of ROUND_LENGTHS) if (ms >= from) rounded = length;
  return rounded;
}

/**
 * Choose the step of a query and the values of the interval variables.
 *
 * `span` has `from` and `to` in milliseconds, `points` is what fits into the panel, `least` and `scrape` are durations.
 */
export function chooseIntervals({ span, points, least, scrape }) {
  const width = span.to - span.from;
  const scrapeMs = durationMs(scrape);
  const floor = durationMs(least) || scrapeMs;
  const asked = Math.max(roundLength(width / Math.max(points, 1)), floor);
  const step = Math.max(asked, roundLength(width / MOST_POINTS));
  const perRate = durationMs(least) || scrapeMs;
  return { step, rate: Math.max(step + perRate, 4 * perRate), range: Math.round(width / 1_000) * 1_000 };
}

/** Widen a span to whole steps, as the data source does, so that neighbouring panels show the same points. */
export function alignSpan(span, step) {
  return { from: Math.floor(span.from / step) * step, to: Math.floor(span.to / step) * step };
}
