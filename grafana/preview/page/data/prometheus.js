/**
 * Questions to Prometheus, by way of the preview's own server, which passes them on.
 *
 * Takes a path of the HTTP API and its parameters, gives the `data` of the answer. Raises an Error with Prometheus's
 * own words where it refuses.
 */

const seconds = (ms) => (ms / 1_000).toFixed(3);

async function ask(path, parameters, method = 'POST') {
  const form = new URLSearchParams(parameters);
  const request =
    method === 'POST' ? [`prometheus/api/v1/${path}`, { method, body: form }] : [`prometheus/api/v1/${path}?${form}`];
  const reply = await fetch(...request);
  const answer = await reply.json();
  if (answer.status !== 'success') throw new Error(`${answer.error} (asked: ${parameters.query ?? path})`);
  return answer.data;
}

/** Ask for a query's value at one moment; gives series with `value`. */
export async function queryInstant(query, at) {
  const data = await ask('query', { query, time: seconds(at) });
  if (data.resultType === 'vector') return data.result;
  if (data.resultType === 'scalar') return [{ metric: {}, value: data.result }];
  throw new Error(`a panel cannot show a ${data.resultType} (asked: ${query})`);
}

/** Ask for a query's values over a span; gives series with `values`. */
export async function queryRange(query, span, step) {
  const parameters = { query, start: seconds(span.from), end: seconds(span.to), step: step / 1_000 };
  return (await ask('query_range', parameters)).result;
}

/** Ask for the exemplars of a query's series; none where the server keeps none. */
export async function queryExemplars(query, span) {
  try {
    const found = await ask('query_exemplars', { query, start: seconds(span.from), end: seconds(span.to) });
    const all = (found ?? []).flatMap((series) => series.exemplars);
    return all.map(({ timestamp, value }) => ({ at: timestamp * 1_000, value: sampleValue(value) }));
  } catch {
    return [];
  }
}

/** Ask for the values of a label over a span. */
export function queryLabelValues(label, match, span) {
  const parameters = [
    ['start', seconds(span.from)],
    ['end', seconds(span.to)],
  ];
  if (match) parameters.push(['match[]', match]);
  return ask(`label/${label}/values`, parameters, 'GET');
}

/** Read a sample's value, which Prometheus writes as text. */
export function sampleValue(text) {
  if (text === '+Inf') return Infinity;
  if (text === '-Inf') return -Infinity;
  return Number(text);
}
