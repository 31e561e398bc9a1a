/**
 * A graph over time, drawn by Grafana's own TimeSeries component.
 *
 * Takes frames with their field configuration applied; draws annotations and exemplars over them.
 */

import React, { useMemo } from 'react';
import { applyNullInsertThreshold, FieldType, nullToValue } from '@grafana/data';
import { TimeSeries } from '@grafana/ui';
import { AnnotationMarks } from './annotation_marks.jsx';
import { ExemplarMarks } from './exemplar_marks.jsx';

const LEGEND = { showLegend: true, displayMode: 'list', placement: 'bottom', calcs: [] };

/**
 * Prepare a frame for drawing, as Grafana's panel does: where points are missing there is a hole, or the panel's
 * `noValue` where that is a number; what is no number is a hole.
 */
function graphable(frame, { from, to }) {
  const filled = applyNullInsertThreshold({ frame, refFieldPseudoMin: from, refFieldPseudoMax: to });
  const fields = nullToValue(filled).fields.map((field) => {
    if (field.type !== FieldType.number) return field;
    return { ...field, values: field.values.map((value) => (Number.isFinite(value) ? value : null)) };
  });
  return { ...frame, length: filled.length, fields };
}

export function TimeSeriesPanel({ panel, data, context, width, height }) {
  const frames = useMemo(() => data.frames.map((frame) => graphable(frame, context.span)), [data, context]);
  const legend = { ...LEGEND, ...(panel.options?.legend ?? {}) };
  return (
    <TimeSeries
      frames={frames}
      legend={legend}
      options={{}}
      timeRange={context.timeRange}
      timeZone="utc"
      width={width}
      height={height}
    >
      {(config) => (
        <>
          <AnnotationMarks config={config} context={context} />
          <ExemplarMarks config={config} exemplars={data.exemplars} theme={context.theme} />
        </>
      )}
    </TimeSeries>
  );
}
