/** Variables stand in queries as Grafana writes them there. */

import assert from 'node:assert/strict';
import test from 'node:test';
import {
  builtInVariables,
  chooseValue,
  filterOptions,
  readVariableQuery,
  substituteQuery,
  substituteText,
} from '../page/model/variables.js';
import { durationText } from '../page/model/interval.js';

const several = (...values) => ({ value: values, text: values.join(' + '), several: true, all: false });

test('a variable of several values becomes a regular expression, its dots escaped for a string', () => {
  const written = substituteQuery('rate(x{task=~"$task"}[1m])', { task: several('proj.pay', 'proj.mail') });
  assert.equal(written, 'rate(x{task=~"(proj\\\\.pay|proj\\\\.mail)"}[1m])');
});

test('a variable of one value, of which several may be chosen, is escaped without brackets', () => {
  assert.equal(substituteQuery('{task=~"${task}"}', { task: several('proj.pay') }), '{task=~"proj\\\\.pay"}');
});

test('a variable of which only one value may be chosen stands as it is', () => {
  assert.equal(substituteQuery('{task="$task"}', { task: { value: 'proj.pay', several: false } }), '{task="proj.pay"}');
});

test('an All with a value of its own is not escaped', () => {
  const chosen = chooseValue(
    { name: 'job', multi: true, includeAll: true, allValue: '.*', current: { value: '$__all' } },
    ['a', 'b'],
  );
  assert.equal(substituteQuery('{job=~"$job"}', { job: chosen }), '{job=~".*"}');
});

test('formats write values for regular expressions, links and text', () => {
  const variables = { task: { ...several('a.b', 'c d'), text: 'a.b + c d' } };
  const write = (format) => substituteText(`\${task:${format}}`, variables);
  assert.equal(write('regex'), '(a\\.b|c d)');
  assert.equal(write('pipe'), 'a.b|c d');
  assert.equal(substituteText('${one:regex}', { one: several('a.b') }), 'a\\.b');
  assert.equal(write('csv'), 'a.b,c d');
  assert.equal(write('queryparam'), 'var-task=a.b&var-task=c%20d');
  assert.equal(write('text'), 'a.b + c d');
});

test('a link keeps All as All', () => {
  const variables = { job: { value: '.*', text: 'All', several: true, all: true } };
  assert.equal(substituteText('${job:queryparam}', variables), 'var-job=%24__all');
});

test('what is no variable stays: anchors of regular expressions, and what Grafana resolves per row', () => {
  assert.equal(substituteQuery('{a=~"x$", b="$other"}', {}), '{a=~"x$", b="$other"}');
  assert.equal(
    substituteText('${__data.fields.Task:percentencode}', { __data: { value: 'x' } }),
    '${__data.fields.Task:percentencode}',
  );
});

test('interval variables are durations', () => {
  const builtIn = builtInVariables({ step: 30_000, rate: 60_000, range: 21_600_000 }, { from: 1, to: 2 }, durationText);
  assert.equal(
    substituteQuery('[$__rate_interval] [${__interval}] [$__range] $__range_s', builtIn),
    '[1m] [30s] [21600s] 21600',
  );
});

test('a value is the one asked for, else the saved one if it exists, else All, else the first', () => {
  const plain = { name: 'task', multi: true, includeAll: true, current: { value: ['b'] } };
  assert.deepEqual(chooseValue(plain, ['a', 'b'], 'c,d').value, ['c', 'd']);
  assert.deepEqual(chooseValue(plain, ['a', 'b']).value, ['b']);
  assert.deepEqual(chooseValue({ ...plain, current: {} }, ['a', 'b']).value, ['a', 'b']);
  assert.equal(chooseValue({ name: 'task', current: {} }, ['a', 'b']).value, 'a');
  assert.deepEqual(chooseValue({ name: 'task', multi: true, current: { value: ['gone', 'b'] } }, ['a', 'b']).value, [
    'b',
  ]);
  assert.equal(chooseValue({ name: 'task', current: {} }, []).text, 'None');
});

test('a variable that Grafana saved without a choice shows All', () => {
  assert.equal(
    chooseValue({ name: 'task', includeAll: true, multi: true, current: { text: 'All', value: ['$__all'] } }, ['a'])
      .text,
    'All',
  );
});

test('the queries of variables are read, with braces and commas inside', () => {
  assert.deepEqual(readVariableQuery('label_values(up{a="b", c=~"d,e"}, job)'), {
    kind: 'values',
    match: 'up{a="b", c=~"d,e"}',
    label: 'job',
  });
  assert.deepEqual(readVariableQuery({ query: 'label_values(job)' }), {
    kind: 'values',
    match: undefined,
    label: 'job',
  });
  assert.deepEqual(readVariableQuery('query_result(topk(5, up))'), { kind: 'result', query: 'topk(5, up)' });
  assert.throws(() => readVariableQuery('metrics(.*)'), /none that the preview reads/);
});

test("options are cut by the variable's expression, made unique and sorted", () => {
  assert.deepEqual(filterOptions(['w10', 'w2', 'w10', 'x'], { regex: '/^w(\\d+)$/', sort: 3 }), ['2', '10']);
  assert.deepEqual(filterOptions(['a', 'b'], { sort: 2 }), ['b', 'a']);
  assert.deepEqual(filterOptions(['b', 'a'], {}), ['b', 'a']);
});
