/**
 * What a series is called in a legend.
 *
 * Takes a legend format and a series' labels, gives text, or undefined where Grafana builds the name from the labels.
 * Never shows a placeholder: a label that a series lacks is left empty, as in Grafana.
 */

const PLACEHOLDER = /\{\{\s*(.+?)\s*\}\}/g;

/** Write a series as Prometheus does: `name{label="value"}`. */
export function seriesText(labels) {
  const { __name__: name = '', ...others } = labels;
  const parts = Object.entries(others).map(([label, value]) => `${label}="${value}"`);
  return parts.length ? `${name}{${parts.join(', ')}}` : name;
}

/** Name a series by a legend format; an empty format gives the whole series, `__auto` leaves it to its labels. */
export function legendName(format, labels, expression) {
  if (format === '__auto') return Object.keys(labels).length ? undefined : expression;
  if (!format) return seriesText(labels) || expression;
  return format.replace(PLACEHOLDER, (whole, label) => labels[label] ?? '');
}

/** The labels that a format names and none of the series has; `all` holds the labels of each series. */
export function missingLabels(format, all) {
  if (!format || format === '__auto' || !all.length) return [];
  const named = [...format.matchAll(PLACEHOLDER)].map((found) => found[1]);
  return named.filter((label) => !all.some((labels) => label in labels));
}
