/**
 * From options to pictures: the page is bundled and served, the browser draws one dashboard after the other.
 *
 * Takes what `arguments.mjs` read, gives the number of faults; prints what is to be said of each picture.
 */

import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { drawJob, openBrowser } from './browser.mjs';
import { bundlePage } from './bundle.mjs';
import { makeJobs } from './jobs.mjs';
import { shrink } from './picture.mjs';
import { judge } from './report.mjs';
import { serve } from './server.mjs';

async function keep(folder, name, picture) {
  if (!picture) return 'not drawn';
  const file = path.join(folder, `${name}.png`);
  const small = await shrink(picture);
  await writeFile(file, small);
  return `${file}, ${Math.round(small.length / 1_000)} kB`;
}

async function drawJobs(browser, options, jobs, url) {
  let all = 0;
  for (const [number, { dashboard }] of jobs.entries()) {
    const drawn = await drawJob(browser, `${url}?number=${number}`, options);
    const { lines, faults } = judge(dashboard.name, drawn, options.allowedEmpty);
    console.log(`${dashboard.name}: ${await keep(options.out, dashboard.name, drawn.picture)}`);
    for (const line of lines) console.log(line);
    all += faults;
  }
  return all;
}

/** Draw every dashboard asked for, also after a fault in one. */
export async function drawAll(options) {
  const jobs = await makeJobs(options);
  await mkdir(options.out, { recursive: true });
  const server = await serve({ folder: await bundlePage(), prometheus: options.prometheus, jobs });
  try {
    const browser = await openBrowser();
    try {
      return await drawJobs(browser, options, jobs, server.url);
    } finally {
      await browser.close();
    }
  } finally {
    server.close();
  }
}
