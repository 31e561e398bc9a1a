#!/usr/bin/env node
/**
 * Draws dashboards to PNG: `node grafana/preview/preview.mjs --help`.
 *
 * Takes a running Prometheus and dashboards' files, gives one picture for each. Ends with 1 where a panel shows an
 * error or nothing, after having drawn what could be drawn; with 2 where it could not begin.
 */

import { readArguments, USAGE } from './tool/arguments.mjs';

const INSTALL = 'packages are missing; first: npm ci --prefix grafana/preview --ignore-scripts';

async function main(words) {
  const options = readArguments(words);
  if (options.help) {
    console.log(USAGE);
    return 0;
  }
  // Only now: help and a wrong flag are told without any package.
  const { drawAll } = await import('./tool/draw.mjs');
  const faults = await drawAll(options);
  if (faults) console.error(`preview: ${faults} faults`);
  return faults ? 1 : 0;
}

function tell(error) {
  console.error(`preview: ${error.code === 'ERR_MODULE_NOT_FOUND' ? INSTALL : error.message}`);
  return 2;
}

process.exitCode = await main(process.argv.slice(2)).catch(tell);
