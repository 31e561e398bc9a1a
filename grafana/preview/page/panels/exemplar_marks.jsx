/**
 * Exemplars over a graph, as the small diamonds that Grafana draws.
 *
 * Takes a uPlot configuration before it is used and adds a hook to it; exemplars outside of the scale
 * stand at its edge.
 */

import { useLayoutEffect } from 'react';

const RADIUS = 4;

export function ExemplarMarks({ config, exemplars, theme }) {
  useLayoutEffect(() => {
    if (!exemplars.length) return;
    config.addHook('draw', (plot) => {
      const { ctx, bbox } = plot;
      const scale = config.scaleKeys[1];
      const radius = RADIUS * devicePixelRatio;
      ctx.save();
      ctx.fillStyle = theme.visualization.getColorByName('blue');
      for (const { at, value } of exemplars) {
        const x = plot.valToPos(at, 'x', true);
        const asked = plot.valToPos(value, scale, true);
        const y = Math.min(Math.max(asked, bbox.top), bbox.top + bbox.height);
        if (!(x >= bbox.left && x <= bbox.left + bbox.width)) continue;
        ctx.beginPath();
        ctx.moveTo(x, y - radius);
        ctx.lineTo(x + radius, y);
        ctx.lineTo(x, y + radius);
        ctx.lineTo(x - radius, y);
        ctx.fill();
      }
      ctx.restore();
    });
  }, [config, exemplars, theme]);
  return null;
}
