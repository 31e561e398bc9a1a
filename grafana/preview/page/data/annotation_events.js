/**
 * The events that a dashboard draws over its graphs.
 *
 * Takes the dashboard's annotations, gives regions with a colour; those built into Grafana have no data here.
 */

import { annotationRegions } from '../model/annotations.js';
import { alignSpan, chooseIntervals, durationText } from '../model/interval.js';
import { builtInVariables, substituteQuery } from '../model/variables.js';
import { queryRange } from './prometheus.js';

async function askAnnotation(annotation, context) {
  const intervals = chooseIntervals({
    span: context.span,
    points: context.width,
    least: annotation.step || annotation.target?.interval,
    scrape: context.scrape,
  });
  const variables = { ...context.variables, ...builtInVariables(intervals, context.span, durationText) };
  const expression = substituteQuery(annotation.expr ?? annotation.target?.expr, variables);
  const answer = await queryRange(expression, alignSpan(context.span, intervals.step), intervals.step);
  const regions = answer.flatMap((series) => annotationRegions(series, intervals.step, annotation));
  return regions.map((region) => ({ ...region, color: annotation.iconColor, name: annotation.name }));
}

/** Ask for every annotation that is switched on; gives `[{ from, to, title, color, name }]`. */
export async function loadAnnotations(dashboard, context) {
  const wanted = (dashboard.annotations?.list ?? []).filter(
    (each) => each.enable !== false && (each.expr ?? each.target?.expr),
  );
  return (await Promise.all(wanted.map((annotation) => askAnnotation(annotation, context)))).flat();
}
