/**
 * How a panel went: drawn, empty, without a value, or failed.
 *
 * Takes what was loaded; gives `{ state, words }`. A panel is `empty` where a reader would see "No data".
 */

const isNothing = (value) => value === null || value === undefined || Number.isNaN(value);

function hasValues(frames) {
  return frames.some((frame) =>
    frame.fields.some((field) => field.type !== 'time' && field.values.some((value) => !isNothing(value))),
  );
}

/** Grafana draws the holes of a graph as the panel's `noValue` where that is a number: what is absent looks like 0. */
function fillsHoles(panel, { frames, step }, { from, to }) {
  const noValue = panel.fieldConfig?.defaults?.noValue;
  if (panel.type !== 'timeseries' || noValue === undefined || Number.isNaN(Number(noValue))) return false;
  return frames.some((frame) => frame.length < Math.floor((to - from) / step));
}

/** Judge a panel by what was loaded for it: `data` or `error`, and the `context` with the span that is shown. */
export function judgePanel(panel, { data, error, context }) {
  if (error) return { state: 'error', words: error.message };
  if (panel.type === 'text') return { state: 'drawn', words: '' };
  if (panel.type === 'alertlist') return { state: 'drawn', words: data.alerts.length ? '' : 'no alert fires' };
  const words = [];
  if (data.silent.length) words.push(`no answer to ${data.silent.join(', ')}`);
  if (data.lost.length) words.push(`labels in the legend that no series has: ${data.lost.join(', ')}`);
  if (panel.type === 'table' && data.frames.length > 1) words.push(`one of ${data.frames.length} tables is shown`);
  if (fillsHoles(panel, data, context.span)) words.push('holes are drawn as its noValue');
  if (hasValues(data.frames)) return { state: data.lost.length ? 'legend' : 'drawn', words: words.join('; ') };
  const noValue = panel.fieldConfig?.defaults?.noValue;
  return { state: noValue === undefined ? 'empty' : 'no value', words: words.join('; ') };
}
