/**
 * Annotations over a graph: a dashed line where each begins and ends, a tint between, a mark on the time axis.
 *
 * Takes a uPlot configuration before it is used and adds a hook to it; draws nothing by itself.
 */

import { useLayoutEffect } from 'react';
import { colorManipulator } from '@grafana/data';

const MARK = 5;

function drawLine(plot, x, color) {
  const { ctx, bbox } = plot;
  ctx.beginPath();
  ctx.setLineDash([5 * devicePixelRatio, 5 * devicePixelRatio]);
  ctx.lineWidth = 2 * devicePixelRatio;
  ctx.strokeStyle = color;
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
}

function drawMark(plot, from, to, color) {
  const { ctx, bbox } = plot;
  const bottom = bbox.top + bbox.height;
  const size = MARK * devicePixelRatio;
  ctx.fillStyle = color;
  ctx.beginPath();
  if (to - from > size) {
    ctx.fillRect(from, bottom, to - from, size);
    return;
  }
  ctx.moveTo(from, bottom);
  ctx.lineTo(from - size, bottom + size);
  ctx.lineTo(from + size, bottom + size);
  ctx.fill();
}

/** Draw the lines and the tint of one annotation; what lies outside of the plot is cut off. */
function drawOver(plot, from, to, color) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  drawLine(plot, from, color);
  if (to > from) {
    drawLine(plot, to, color);
    ctx.fillStyle = colorManipulator.alpha(color, 0.1);
    ctx.fillRect(from, bbox.top, to - from, bbox.height);
  }
  ctx.restore();
}

function drawAnnotation(plot, region, color) {
  const { bbox } = plot;
  const [from, to] = [plot.valToPos(region.from, 'x', true), plot.valToPos(region.to, 'x', true)];
  drawOver(plot, from, to, color);
  drawMark(plot, Math.max(from, bbox.left), Math.min(to, bbox.left + bbox.width), color);
}

export function AnnotationMarks({ config, context }) {
  useLayoutEffect(() => {
    config.addHook('draw', (plot) => {
      const { from, to } = context.span;
      for (const region of context.annotations.filter((each) => each.to >= from && each.from <= to)) {
        drawAnnotation(plot, region, context.theme.visualization.getColorByName(region.color ?? 'blue'));
      }
    });
  }, [config, context]);
  return null;
}
