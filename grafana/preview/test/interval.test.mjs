/** The step of a query is the one that Grafana's Prometheus data source takes. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { alignSpan, chooseIntervals, durationMs, durationText, roundLength } from '../page/model/interval.js';

const HOUR = 3_600_000;
const spanOf = (length) => ({ from: 1_000_000_000_000, to: 1_000_000_000_000 + length });
const choose = (length, points, least) => chooseIntervals({ span: spanOf(length), points, least, scrape: '15s' });

test('an hour in a wide panel is asked for at the scrape interval', () => {
  assert.deepEqual(choose(HOUR, 1_500), { step: 15_000, rate: 60_000, range: HOUR });
});

test('six hours in 500 pixels are asked for at 30 seconds, and rates span four scrapes', () => {
  assert.deepEqual(choose(6 * HOUR, 500), { step: 30_000, rate: 60_000, range: 6 * HOUR });
});

test('a week in a narrow panel takes rates over one step and one scrape', () => {
  const { step, rate } = choose(7 * 24 * HOUR, 400);
  assert.equal(step, 1_800_000);
  assert.equal(rate, 1_815_000);
});

test("a panel's own least interval counts for the step and four times for rates", () => {
  assert.deepEqual(choose(HOUR, 1_500, '1m'), { step: 60_000, rate: 240_000, range: HOUR });
});

test('no query asks for more points than Prometheus answers with', () => {
  const length = 30 * 24 * HOUR;
  const { step } = chooseIntervals({ span: spanOf(length), points: 1e9, scrape: '1s' });
  assert.ok(length / step <= 11_000, `${length / step} points`);
});

test('a span is cut to whole steps from the epoch', () => {
  assert.deepEqual(alignSpan({ from: 14_999, to: 61_000 }, 15_000), { from: 0, to: 60_000 });
});

test('durations are read and written in the largest unit that fits', () => {
  for (const text of ['250ms', '15s', '90s', '1m', '2h', '1d'])
    assert.equal(durationMs(durationText(durationMs(text))), durationMs(text));
  assert.equal(durationText(90_000), '90s');
  assert.equal(durationText(3_600_000), '1h');
  assert.throws(() => durationMs('soon'), /not a duration: soon/);
});

test('a length on the border of two rounded ones takes the longer', () => {
  assert.deepEqual([17_499, 17_500, 24_999, 25_000].map(roundLength), [15_000, 20_000, 20_000, 30_000]);
});
