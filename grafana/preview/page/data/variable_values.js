/**
 * The values of a dashboard's variables, asked of Prometheus one after the other, as each may use those before it.
 *
 * Takes the dashboard's variables and those chosen on the command line; gives what `page/model/variables.js` takes.
 */

import { chooseValue, filterOptions, readVariableQuery, substituteQuery } from '../model/variables.js';
import { seriesText } from '../model/legend.js';
import { queryInstant, queryLabelValues } from './prometheus.js';

async function askOptions(variable, known, span) {
  const query = readVariableQuery(variable.query ?? variable.definition);
  if (query.kind === 'values') {
    return queryLabelValues(query.label, query.match && substituteQuery(query.match, known), span);
  }
  const series = await queryInstant(substituteQuery(query.query, known), span.to);
  return series.map(({ metric, value }) => `${seriesText(metric)} ${value[1]} ${value[0] * 1_000}`);
}

function writtenOptions(variable) {
  const text = typeof variable.query === 'string' ? variable.query : '';
  return text
    .split(/(?<!\\),/)
    .map((part) => part.trim().split(/\s:\s/).pop())
    .filter(Boolean);
}

async function findOptions(variable, known, span) {
  if (variable.type === 'query') return askOptions(variable, known, span);
  if (variable.type === 'custom' || variable.type === 'interval') return writtenOptions(variable);
  if (variable.type === 'datasource') return ['Prometheus'];
  return [variable.query ?? variable.current?.value ?? ''].filter((value) => typeof value === 'string');
}

/** Find every variable's value; gives `{ values, unset }`, where `unset` names those that nothing was found for. */
export async function findVariables(dashboard, asked, builtIn, span) {
  const values = {};
  const unset = [];
  for (const variable of dashboard.templating?.list ?? []) {
    if (variable.type === 'adhoc') continue;
    const found = await findOptions(variable, { ...builtIn, ...values }, span);
    const options = filterOptions(
      found.filter((value) => value !== ''),
      variable,
    );
    const chosen = chooseValue(variable, options, asked[variable.name]);
    if (variable.type === 'datasource') chosen.text = 'Prometheus';
    // A hidden variable with no values (no such label here) is no fault: its All stands for whatever is there.
    const empty = variable.type === 'query' && !options.length && variable.hide !== 2;
    if (empty && !chosen.value?.length) unset.push(variable.name);
    values[variable.name] = {
      ...chosen,
      label: variable.label || variable.name,
      hide: variable.hide ?? 0,
      type: variable.type,
    };
  }
  return { values, unset };
}
