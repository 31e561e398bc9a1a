/**
 * A dashboard's variables: which values they have, and how they are written into queries, titles and links.
 *
 * Takes values as `{ name: { value: string | string[], text: string, all: boolean } }`, gives text. Never asks a
 * server: `page/data/variable_values.js` does.
 */

/** `$name`, `${name}`, `${name:format}`, `${name.path}` and `[[name]]`, as Grafana reads them. */
const REFERENCE = /\$(\w+)|\$\{(\w+)(?:\.([^:^}]+))?(?::([^}]+))?\}|\[\[(\w+?)(?::(\w+))?\]\]/g;

const escapeRegex = (text) => String(text).replace(/[\\^$*+?.()|[\]{}/]/g, '\\$&');
// Inside a PromQL string each backslash of a regular expression is written twice.
const escapeQuery = (text) =>
  String(text)
    .replace(/\\/g, '\\\\\\\\')
    .replace(/[$^*{}[\]+?.()|]/g, '\\\\$&');
const quoted = (mark) => (text) => mark + String(text).replaceAll(mark, `\\${mark}`) + mark;
const list = (value) => (Array.isArray(value) ? value : [value]);

const FORMATS = {
  raw: (values) => values.join(','),
  csv: (values) => values.join(','),
  pipe: (values) => values.join('|'),
  glob: (values) => (values.length > 1 ? `{${values.join(',')}}` : values.join(',')),
  regex: (values) => (values.length > 1 ? `(${values.map(escapeRegex).join('|')})` : values.map(escapeRegex).join('|')),
  json: (values) => JSON.stringify(values.length > 1 ? values : values[0]),
  text: (values, name, variable) => variable.text ?? values.join(' + '),
  singlequote: (values) => values.map(quoted("'")).join(','),
  doublequote: (values) => values.map(quoted('"')).join(','),
  percentencode: (values) => encodeURIComponent(values.length > 1 ? `{${values.join(',')}}` : values.join(',')),
  queryparam: (values, name, variable) =>
    (variable.all ? ['$__all'] : values).map((value) => `var-${name}=${encodeURIComponent(value)}`).join('&'),
};

/** How the Prometheus data source writes a variable that names no format. */
function writeForQuery(values, variable) {
  if (variable.literal) return values.join('|');
  if (!variable.several) return values.map((text) => String(text).replaceAll("'", "\\\\'")).join('');
  const escaped = values.map(escapeQuery);
  return escaped.length === 1 ? escaped[0] : `(${escaped.join('|')})`;
}

function substitute(text, variables, writePlain) {
  return String(text).replace(REFERENCE, (whole, plain, braced, path, format, bracketed, bracketFormat) => {
    const name = plain ?? braced ?? bracketed;
    const variable = variables[name];
    if (variable === undefined || path !== undefined) return whole;
    const write = FORMATS[format ?? bracketFormat];
    const values = list(variable.value);
    return write ? write(values, name, variable) : writePlain(values, variable);
  });
}

/** Write the variables into a query; a value of several, or of All, becomes a regular expression. */
export function substituteQuery(expression, variables) {
  return substitute(expression, variables, writeForQuery);
}

/** Write the variables into a title or a text. */
export function substituteText(text, variables) {
  return substitute(text, variables, (values, variable) => variable.text ?? FORMATS.glob(values));
}

/** The variables that Grafana has of itself. */
export function builtInVariables({ step, rate, range }, span, durationText) {
  const plain = (value) => ({ value: String(value), literal: true });
  return {
    __interval: plain(durationText(step)),
    __interval_ms: plain(step),
    __rate_interval: plain(durationText(rate)),
    __rate_interval_ms: plain(rate),
    __range: plain(`${range / 1_000}s`),
    __range_s: plain(range / 1_000),
    __range_ms: plain(range),
    __from: plain(span.from),
    __to: plain(span.to),
    __url_time_range: plain(`from=${span.from}&to=${span.to}`),
  };
}

/**
 * Choose a variable's value: the one asked for, else the one the dashboard was saved with, else All, else the first.
 *
 * `asked` is undefined, `All`, or values parted by commas; `options` are the values that exist.
 */
export function chooseValue(variable, options, asked) {
  const several = Boolean(variable.multi || variable.includeAll);
  const saved = list(variable.current?.value ?? []).filter((value) => value !== '' && value !== null);
  const wanted = asked === undefined ? saved : asked.split(',');
  const isAll = (value) => value === '$__all' || value === 'All';
  if (variable.includeAll && (wanted.some(isAll) || (!wanted.length && asked === undefined))) {
    return wholeRange(variable, options);
  }
  const known = asked === undefined ? wanted.filter((value) => options.includes(value)) : wanted;
  const chosen = known.length ? known : options.slice(0, 1);
  const value = several ? chosen : (chosen[0] ?? '');
  return { value, text: list(value).join(' + ') || 'None', several, all: false };
}

function wholeRange(variable, options) {
  const own = variable.allValue;
  // An All with a value of its own is written as it stands: it is a regular expression already.
  if (own) return { value: own, text: 'All', several: true, all: true, literal: true };
  return { value: options, text: 'All', several: true, all: true };
}

/** Read what a variable asks for: `label_values(metric, label)`, `label_values(label)` or `query_result(query)`. */
export function readVariableQuery(definition) {
  const text = (typeof definition === 'string' ? definition : (definition?.query ?? '')).trim();
  const result = /^query_result\((.+)\)$/s.exec(text);
  if (result) return { kind: 'result', query: result[1] };
  const values = /^label_values\((?:(.+),\s*)?([a-zA-Z_]\w*)\s*\)$/s.exec(text);
  if (values) return { kind: 'values', match: values[1]?.trim(), label: values[2] };
  throw new Error(`a variable's query is none that the preview reads: ${text || '(empty)'}`);
}

/** Keep and cut values by a variable's regular expression, and sort them as it says. */
export function filterOptions(values, variable) {
  const expression = /^\/(.*)\/([gimsuy]*)$/s.exec(variable.regex ?? '');
  const pattern = variable.regex
    ? new RegExp(expression?.[1] ?? variable.regex, expression?.[2].replace('g', ''))
    : null;
  const kept = pattern ? values.flatMap((value) => cut(pattern.exec(value))) : values;
  const sorted = [...new Set(kept)];
  if (!variable.sort) return sorted;
  const numeric = variable.sort === 3 || variable.sort === 4 || variable.sort > 6;
  sorted.sort((one, other) => one.localeCompare(other, 'en', { numeric, sensitivity: 'base' }));
  return variable.sort % 2 === 0 ? sorted.reverse() : sorted;
}

function cut(found) {
  if (!found) return [];
  return [found.groups?.text ?? found.groups?.value ?? found[1] ?? found[0]];
}
