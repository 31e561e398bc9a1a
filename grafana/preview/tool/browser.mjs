/**
 * Debian's Chromium without a screen: opens the page of each job and takes its picture.
 *
 * Takes the server's URL, gives pictures and what the page said of its panels. Waits for the page's own word that all
 * is drawn; never reaches beyond the loopback server.
 */

import { chromium } from 'playwright-core';

const PROGRAM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--font-render-hinting=none',
];
const PATIENCE = 120_000;

/** Open the browser for a number of pictures; `close` ends it. */
export async function openBrowser() {
  return chromium.launch({ executablePath: PROGRAM, headless: true, args: FLAGS });
}

/** Note what the browser complains of, but for what is told better elsewhere: a refused query by its panel. */
function listen(page, complaints) {
  const isTold = (text) => text.startsWith('Failed to load resource');
  page.on(
    'console',
    (message) => message.type() === 'error' && !isTold(message.text()) && complaints.push(message.text()),
  );
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('response', (reply) => {
    const { pathname } = new URL(reply.url());
    if (reply.status() >= 400 && !pathname.startsWith('/prometheus/')) complaints.push(`${reply.status()} ${pathname}`);
  });
}

/** Wait for the page's word; where it does not come in time, say which panels it still waits for. */
async function waitForOutcome(page) {
  try {
    await page.waitForFunction(() => window.preview?.done, undefined, { timeout: PATIENCE });
    return await page.evaluate(() => window.preview);
  } catch (error) {
    if (error.name !== 'TimeoutError') throw error;
    const waiting = await page.evaluate(() => window.preview?.waiting ?? []);
    const failure = `not drawn within ${PATIENCE / 1_000} s: ${waiting.join(', ') || 'the page does not come to rest'}`;
    return { panels: [], unset: [], failure };
  }
}

/** Draw one job; gives `{ picture, outcome, complaints }`, where the picture is a PNG. */
export async function drawJob(browser, url, { width, scale, light }) {
  const page = await browser.newPage({
    viewport: { width, height: 900 },
    deviceScaleFactor: scale,
    colorScheme: light ? 'light' : 'dark',
    timezoneId: 'UTC',
    locale: 'en-GB',
    reducedMotion: 'reduce',
  });
  const complaints = [];
  listen(page, complaints);
  try {
    await page.goto(url);
    const outcome = await waitForOutcome(page);
    const picture = outcome.failure
      ? null
      : await page.locator('#dashboard').screenshot({ type: 'png', animations: 'disabled' });
    return { picture, outcome, complaints };
  } finally {
    await page.close();
  }
}
