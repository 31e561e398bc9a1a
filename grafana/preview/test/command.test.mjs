/** The command line says what is wrong with it, and the report what is wrong with a picture. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { judgePanel } from '../page/dashboard/judgement.js';
import { readArguments } from '../tool/arguments.mjs';
import { judge } from '../tool/report.mjs';

const URL_FLAG = ['--prometheus', 'http://127.0.0.1:9090/'];
const frame = (...values) => ({
  length: values.length,
  fields: [
    { type: 'time', values: [1] },
    { type: 'number', values },
  ],
});
const loaded = (frames, more = {}) => ({
  data: { frames, silent: [], lost: [], step: 10, ...more },
  context: { span: { from: 0, to: 20 } },
});

test('options are read, with several dashboards and variables', () => {
  const options = readArguments([
    ...URL_FLAG,
    '--dashboard',
    'a',
    '--dashboard',
    'b',
    '--var',
    'task=x=y',
    '--from',
    '10',
    '--to',
    '20',
  ]);
  assert.equal(options.prometheus, 'http://127.0.0.1:9090');
  assert.deepEqual(options.dashboards, ['a', 'b']);
  assert.deepEqual(options.variables, { task: 'x=y' });
  assert.deepEqual([options.from, options.to, options.scale], [10, 20, 2]);
});

test('a wrong command line is told in words', () => {
  assert.throws(() => readArguments([]), /--prometheus is missing/);
  assert.throws(() => readArguments([...URL_FLAG, '--from', '20', '--to', '10']), /--from is not before --to/);
  assert.throws(() => readArguments([...URL_FLAG, '--scale', 'x']), /--scale takes a positive number, not x/);
  assert.throws(() => readArguments([...URL_FLAG, '--var', 'task']), /--var takes NAME=VALUE, not task/);
  assert.throws(() => readArguments([...URL_FLAG, '--colour']), /--colour/);
});

test('a panel of holes alone is empty, unless it says what to show instead', () => {
  const bare = { type: 'timeseries' };
  const told = { type: 'timeseries', fieldConfig: { defaults: { noValue: '0' } } };
  assert.equal(judgePanel(bare, loaded([frame(NaN, null)])).state, 'empty');
  assert.equal(judgePanel(told, loaded([])).state, 'no value');
  assert.equal(judgePanel(bare, loaded([frame(0)])).state, 'drawn');
});

test('a graph whose holes Grafana would draw as a number is told', () => {
  const told = { type: 'timeseries', fieldConfig: { defaults: { noValue: '0' } } };
  const named = { type: 'timeseries', fieldConfig: { defaults: { noValue: 'none' } } };
  assert.equal(judgePanel(told, loaded([frame(1)])).words, 'holes are drawn as its noValue');
  assert.equal(judgePanel(told, loaded([frame(1, 2, 3)])).words, '');
  assert.equal(judgePanel(named, loaded([frame(1)])).words, '');
});

test('a table of several frames is told, as it shows one of them', () => {
  assert.equal(judgePanel({ type: 'table' }, loaded([frame(1), frame(2)])).words, 'one of 2 tables is shown');
});

test('a legend with a label that no series has is a fault', () => {
  assert.deepEqual(judgePanel({ type: 'timeseries' }, loaded([frame(1)], { lost: ['x'] })).state, 'legend');
});

test('errors, empty panels, variables without values and complaints of the browser are faults, notes are not', () => {
  const panels = [
    { id: 1, title: 'A', type: 'stat', state: 'empty', words: '' },
    { id: 2, title: 'B', type: 'stat', state: 'error', words: 'refused' },
    { id: 3, title: 'C', type: 'stat', state: 'no value', words: '' },
    { id: 4, title: 'D', type: 'stat', state: 'drawn', words: '' },
  ];
  const drawn = { outcome: { failure: null, unset: ['task'], panels }, complaints: ['404 /x'] };
  assert.equal(judge('u', drawn, new Set()).faults, 4);
  assert.equal(judge('u', drawn, new Set(['u/A', 'u/B'])).faults, 3);
  assert.match(judge('u', drawn, new Set()).lines.join('\n'), /panel 2 "B" \(stat\): error, refused/);
});
