/**
 * The command line of the preview.
 *
 * Takes the words after the program's name, gives options. Raises an Error that says what is wrong with a word.
 */

import { parseArgs } from 'node:util';

export const USAGE = `node grafana/preview/preview.mjs --prometheus URL [options]

  --prometheus URL     where the data is
  --dashboard NAME     which dashboard to draw, by its file's name; may be given several times (all)
  --file PATH          draw this dashboard's file instead of those in grafana/; may be given several times
  --from EPOCH         start of the time span, in seconds (the dashboard's own span before the end)
  --to EPOCH           end of the time span, in seconds (now)
  --span-words TEXT    what the time picker says ("Last 6 hours"), instead of the two moments
  --var NAME=VALUE     choose a variable; values parted by commas; may be given several times
  --scrape DURATION    the data source's scrape interval (15s)
  --open-rows          draw what stands in collapsed rows
  --light              the light theme
  --scale NUMBER       pixels per CSS pixel (2)
  --width NUMBER       width of the page in CSS pixels (1600)
  --out DIR            where the pictures go (the working directory)
  --allow-empty ID     a panel that may be empty, as DASHBOARD/PANEL; may be given several times
  --help               this text`;

const OPTIONS = {
  prometheus: { type: 'string' },
  dashboard: { type: 'string', multiple: true, default: [] },
  file: { type: 'string', multiple: true, default: [] },
  from: { type: 'string' },
  to: { type: 'string' },
  'span-words': { type: 'string' },
  var: { type: 'string', multiple: true, default: [] },
  scrape: { type: 'string', default: '15s' },
  'open-rows': { type: 'boolean', default: false },
  light: { type: 'boolean', default: false },
  scale: { type: 'string', default: '2' },
  width: { type: 'string', default: '1600' },
  out: { type: 'string', default: '.' },
  'allow-empty': { type: 'string', multiple: true, default: [] },
  help: { type: 'boolean', default: false },
};

function number(values, name) {
  if (values[name] === undefined) return undefined;
  const value = Number(values[name]);
  if (!Number.isFinite(value) || value <= 0) throw new Error(`--${name} takes a positive number, not ${values[name]}`);
  return value;
}

function variable(text) {
  const [name, ...rest] = text.split('=');
  if (!name || !rest.length) throw new Error(`--var takes NAME=VALUE, not ${text}`);
  return [name, rest.join('=')];
}

/** Read the command line; `{ help: true }` where only help is asked for. */
export function readArguments(words) {
  const { values } = parseArgs({ args: words, options: OPTIONS, strict: true, allowPositionals: false });
  if (values.help) return { help: true };
  if (!values.prometheus) throw new Error('--prometheus is missing: the URL of a running Prometheus');
  const [from, to] = [number(values, 'from'), number(values, 'to')];
  if (from !== undefined && to !== undefined && from >= to) throw new Error('--from is not before --to');
  return {
    prometheus: new URL(values.prometheus).href.replace(/\/$/, ''),
    dashboards: values.dashboard,
    files: values.file,
    from,
    to,
    spanWords: values['span-words'],
    variables: Object.fromEntries(values.var.map(variable)),
    scrape: values.scrape,
    openRows: values['open-rows'],
    light: values.light,
    scale: number(values, 'scale'),
    width: number(values, 'width'),
    out: values.out,
    allowedEmpty: new Set(values['allow-empty']),
  };
}
