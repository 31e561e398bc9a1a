/** Series are named, joined, cut and thinned as Grafana does it. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { annotationRegions } from '../page/model/annotations.js';
import { colourShare, countRange, labelledRows, separateBuckets } from '../page/model/buckets.js';
import { thinExemplars } from '../page/model/exemplars.js';
import { legendName, missingLabels } from '../page/model/legend.js';
import { joinStretches } from '../page/model/stretches.js';

test('a legend takes labels, with or without blanks around them, and leaves empty what a series lacks', () => {
  assert.equal(legendName('{{task}} on {{ queue }}{{none}}', { task: 'a', queue: 'q' }, 'x'), 'a on q');
});

test('a series without a legend format is called what Prometheus calls it', () => {
  assert.equal(legendName('', { __name__: 'up', job: 'a' }, 'up'), 'up{job="a"}');
  assert.equal(legendName(undefined, {}, 'sum(up)'), 'sum(up)');
});

test('an automatic legend is left to the labels, or is the query where there are none', () => {
  assert.equal(legendName('__auto', { job: 'a' }, 'up'), undefined);
  assert.equal(legendName('__auto', {}, 'sum(up)'), 'sum(up)');
});

test('only labels that no series has are missing', () => {
  assert.deepEqual(missingLabels('{{a}} {{b}} {{c}}', [{ a: '1' }, { b: '2' }]), ['c']);
  assert.deepEqual(missingLabels('{{a}}', []), []);
});

test('cumulative buckets become counts of their own, in rising order, never below nothing', () => {
  const rows = separateBuckets([
    { le: '+Inf', values: [5, 9, null] },
    { le: '10', values: [5, 8, 1] },
    { le: '2', values: [3, 8.5, 1] },
  ]);
  assert.deepEqual(
    rows.map(({ le, values }) => [le, values]),
    [
      ['2', [3, 8.5, 1]],
      ['10', [2, 0, 0]],
      ['+Inf', [0, 1, null]],
    ],
  );
});

test('colours span the counts that are more than rounding', () => {
  const range = countRange(
    [
      [0, 1e-12, null],
      [2, 10],
    ],
    1e-9,
  );
  assert.deepEqual(range, { least: 2, most: 10 });
  assert.deepEqual(
    [2, 6, 10, 12].map((count) => colourShare(count, range)),
    [0, 0.5, 1, 1],
  );
  assert.equal(colourShare(3, { least: 3, most: 3 }), 1);
  assert.deepEqual(countRange([[0, null]], 1e-9), { least: 0, most: 0 });
});

test('labels of low rows are left out where they would overlap', () => {
  assert.deepEqual(labelledRows(6, 8, 22), [0, 3]);
  assert.deepEqual(labelledRows(3, 40, 22), [0, 1, 2]);
});

test('equal states are one stretch, and a hole ends it', () => {
  const found = joinStretches([0, 10, 20, 50, 60], [1, 1, 0, 0, NaN], 10, 55);
  assert.deepEqual(found, [
    { from: 0, to: 20, value: 1 },
    { from: 20, to: 30, value: 0 },
    { from: 50, to: 55, value: 0 },
  ]);
});

test('an annotation is a region while its points are a step apart, and points of zero are none', () => {
  const series = {
    metric: { alertname: 'A' },
    values: [
      [0, '1'],
      [60, '1'],
      [120, '0'],
      [180, '0'],
      [240, '1'],
    ],
  };
  const found = annotationRegions(series, 60_000, {});
  assert.deepEqual(found, [
    { from: 0, to: 60_000, title: 'A' },
    { from: 240_000, to: 240_000, title: 'A' },
  ]);
});

test('an annotation whose value is the time stands at that moment', () => {
  const series = {
    metric: {},
    values: [
      [60, '5000.7'],
      [120, '5000.7'],
    ],
  };
  assert.deepEqual(annotationRegions(series, 60_000, { titleFormat: 'start', useValueForTime: true }), [
    { from: 5_000, to: 5_000, title: 'start' },
  ]);
});

test('of the exemplars of one step only those that differ much are kept', () => {
  const many = Array.from({ length: 50 }, (_, index) => ({ at: index, value: 1 + index / 1_000 }));
  const kept = thinExemplars([...many, { at: 3, value: 9 }], 1_000);
  assert.deepEqual(
    kept.map(({ value }) => value),
    [9, 1.049],
  );
  assert.deepEqual(thinExemplars([], 1_000), []);
});
