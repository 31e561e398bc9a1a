/**
 * What is to be drawn: dashboards read from their files, with the time span of each.
 *
 * Takes the options, gives one job per dashboard. Raises an Error where no dashboard of that name exists.
 */

import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { durationMs } from '../page/model/interval.js';

const FOLDER = fileURLToPath(new URL('../../', import.meta.url));

async function readDashboards(files) {
  const names = files.length
    ? files
    : (await readdir(FOLDER)).filter((name) => name.endsWith('.json')).map((name) => path.join(FOLDER, name));
  const all = await Promise.all(
    names.map(async (file) => ({ ...JSON.parse(await readFile(file, 'utf8')), name: path.basename(file, '.json') })),
  );
  return all.filter((each) => each.uid && each.panels);
}

/** A dashboard's own span, where it is one like `now-6h` to `now`. */
function ownLength({ time }) {
  const found = /^now-(\w+)$/.exec(time?.from ?? '');
  return found ? durationMs(found[1]) : durationMs('1h');
}

function spanOf(dashboard, { from, to }) {
  const end = to === undefined ? Date.now() : to * 1_000;
  return { from: from === undefined ? end - ownLength(dashboard) : from * 1_000, to: end };
}

/** Give the jobs, in the order asked for. */
export async function makeJobs(options) {
  const found = await readDashboards(options.files);
  const chosen = options.dashboards.length ? options.dashboards : found.map((each) => each.name).sort();
  return chosen.map((name) => {
    const dashboard = found.find((each) => each.name === name);
    if (!dashboard)
      throw new Error(`no dashboard ${name}; there are: ${found.map((each) => each.name).join(', ') || 'none'}`);
    const { variables, scrape, openRows, light, width, spanWords } = options;
    return {
      dashboard,
      span: spanOf(dashboard, options),
      variables,
      scrape,
      openRows,
      light,
      width,
      rawRange: { words: spanWords },
    };
  });
}
