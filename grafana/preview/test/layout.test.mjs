/** Panels stand where Grafana puts them. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { gridHeight, pixelPlace, placePanels } from '../page/model/layout.js';

const panel = (id, x, y, w, h, more = {}) => ({ id, type: 'stat', gridPos: { x, y, w, h }, ...more });
const row = (id, y, panels = [], collapsed = panels.length > 0) =>
  panel(id, 0, y, 24, 1, { type: 'row', collapsed, panels });
const tops = (placed) => placed.map(({ id, gridPos }) => [id, gridPos.y]);

test('what stands in a closed row is not drawn', () => {
  const placed = placePanels([row(1, 0, [panel(2, 0, 1, 12, 5)]), row(3, 1), panel(4, 0, 2, 24, 4)], false);
  assert.deepEqual(tops(placed), [
    [1, 0],
    [3, 1],
    [4, 2],
  ]);
});

test('an opened row moves down what is below it', () => {
  const closed = row(1, 0, [panel(2, 0, 1, 12, 5), panel(5, 12, 1, 12, 7)]);
  const placed = placePanels([closed, row(3, 1), panel(4, 0, 2, 24, 4)], true);
  assert.deepEqual(tops(placed), [
    [1, 0],
    [2, 1],
    [5, 1],
    [3, 8],
    [4, 9],
  ]);
  assert.equal(placed[0].collapsed, false);
  assert.equal(closed.collapsed, true);
});

test('several opened rows each move what is below them', () => {
  const closed = [
    row(1, 0, [panel(2, 0, 1, 24, 5)]),
    row(3, 1, [panel(4, 0, 2, 24, 6), panel(6, 0, 8, 24, 6)]),
    row(5, 2),
  ];
  assert.deepEqual(tops(placePanels(closed, true)), [
    [1, 0],
    [2, 1],
    [3, 6],
    [4, 7],
    [6, 13],
    [5, 19],
  ]);
});

test('panels move up into holes, each in its own columns', () => {
  const placed = placePanels([panel(1, 0, 0, 12, 4), panel(2, 12, 0, 12, 8), panel(3, 0, 20, 12, 3)], false);
  assert.deepEqual(tops(placed), [
    [1, 0],
    [2, 0],
    [3, 4],
  ]);
  assert.equal(gridHeight(placed), 8 * 38 - 8);
});

test('a panel of the whole width fills the grid, and two halves leave one gap', () => {
  assert.deepEqual(pixelPlace({ x: 0, y: 1, w: 24, h: 2 }, 1_568), { left: 0, top: 38, width: 1_568, height: 68 });
  const right = pixelPlace({ x: 12, y: 0, w: 12, h: 1 }, 1_568);
  assert.deepEqual(right, { left: 788, top: 0, width: 780, height: 30 });
});

test('an empty dashboard has no height', () => {
  assert.equal(gridHeight([]), 0);
});
