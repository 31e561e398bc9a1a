/**
 * All data of one panel: its queries asked, its transformations applied.
 *
 * Takes the panel as stored and what is chosen on the dashboard (see `page/dashboard/context.js`); gives frames and
 * exemplars, without the panel's field configuration. Raises an Error where a query or a transformation fails.
 */

import { standardTransformers, standardTransformersRegistry, transformDataFrame } from '@grafana/data';
import { alignSpan, chooseIntervals, durationText } from '../model/interval.js';
import { thinExemplars } from '../model/exemplars.js';
import { missingLabels } from '../model/legend.js';
import { builtInVariables, substituteQuery } from '../model/variables.js';
import { heatmapFrame, seriesFrames, tableFrame } from './frames.js';
import { queryExemplars, queryInstant, queryRange } from './prometheus.js';

const byId = new Map(Object.values(standardTransformers).map((each) => [each.id, each]));
standardTransformersRegistry.setInit(() =>
  [...byId.values()].map((each) => ({
    id: each.id,
    name: each.name,
    transformation: () => Promise.resolve(each),
    editor: () => null,
  })),
);

async function askTarget(target, panel, context, alone) {
  const { span, scrape } = context;
  const points = panel.maxDataPoints ?? context.width;
  const intervals = chooseIntervals({ span, points, least: target.interval || panel.interval, scrape });
  const variables = { ...context.variables, ...builtInVariables(intervals, span, durationText) };
  const expression = substituteQuery(target.expr, variables);
  const asked = { ...target, expr: expression };
  const { step } = intervals;
  const aligned = alignSpan(span, step);
  const answer = target.instant ? await queryInstant(expression, span.to) : await queryRange(expression, aligned, step);
  const frames = shapeAnswer(answer, asked, step, alone);
  const exemplars = target.exemplar && !target.instant ? await queryExemplars(expression, aligned) : [];
  return {
    frames,
    exemplars: thinExemplars(exemplars, step),
    step,
    lost: missingLabels(
      target.legendFormat,
      answer.map((series) => series.metric),
    ),
    empty: answer.length === 0,
  };
}

function shapeAnswer(answer, target, step, alone) {
  if (target.format === 'table') return answer.length ? [tableFrame(answer, target, alone)] : [];
  if (target.format === 'heatmap' && !target.instant) return answer.length ? [heatmapFrame(answer, target, step)] : [];
  return seriesFrames(answer, target, step);
}

function transform(transformations, frames) {
  const wanted = (transformations ?? []).filter((each) => !each.disabled);
  for (const { id } of wanted) if (!byId.has(id)) throw new Error(`the preview does not know the transformation ${id}`);
  if (!wanted.length) return Promise.resolve(frames);
  return new Promise((resolve, reject) => {
    transformDataFrame(wanted, frames, { interpolate: (text) => text }).subscribe({ next: resolve, error: reject });
  });
}

/** Ask for all that a panel shows. Beside the frames: `silent` queries had no answer, `lost` labels no series has. */
export async function loadPanelData(panel, context) {
  const targets = (panel.targets ?? []).filter((target) => !target.hide && target.expr);
  const answers = await Promise.all(targets.map((target) => askTarget(target, panel, context, targets.length === 1)));
  const frames = await transform(
    panel.transformations,
    answers.flatMap((answer) => answer.frames),
  );
  return {
    frames,
    exemplars: answers.flatMap((answer) => answer.exemplars),
    step: Math.max(0, ...answers.map((answer) => answer.step)),
    silent: targets.filter((target, index) => answers[index].empty).map((target) => target.refId),
    lost: [...new Set(answers.flatMap((answer) => answer.lost))],
  };
}
