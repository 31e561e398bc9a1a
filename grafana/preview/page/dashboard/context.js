/**
 * What all panels of one picture share: the time span, the variables, the theme, the annotations.
 *
 * Takes the job that the command line made (`tool/jobs.mjs`), gives the context. Asks Prometheus for the values of
 * variables and for annotations.
 */

import { createTheme, dateTime } from '@grafana/data';
import { loadAnnotations } from '../data/annotation_events.js';
import { findVariables } from '../data/variable_values.js';
import { builtInVariables, substituteText } from '../model/variables.js';
import { chooseIntervals, durationText } from '../model/interval.js';

/** Where a link's own variables are resolved by Grafana, the text is left as it is. */
function textReplacer(variables) {
  return (text, scoped) => substituteText(text, { ...variables, ...readScoped(scoped) });
}

function readScoped(scoped = {}) {
  const plain = Object.entries(scoped).filter(([, each]) => typeof each?.value === 'string');
  return Object.fromEntries(plain.map(([name, each]) => [name, { value: each.value, text: each.text ?? each.value }]));
}

export async function buildContext(job) {
  const { dashboard, span, scrape, width } = job;
  const theme = createTheme({ colors: { mode: job.light ? 'light' : 'dark' } });
  const intervals = chooseIntervals({ span, points: width, scrape });
  const builtIn = builtInVariables(intervals, span, durationText);
  const { values, unset } = await findVariables(dashboard, job.variables, builtIn, span);
  const variables = { ...builtIn, ...values };
  const shared = { span, scrape, width, theme, variables };
  const timeRange = { from: dateTime(span.from), to: dateTime(span.to), raw: job.rawRange };
  return {
    ...shared,
    timeRange,
    unset,
    chosen: values,
    replaceText: textReplacer(variables),
    annotations: await loadAnnotations(dashboard, shared),
  };
}
