/**
 * Round gauges: an arc for the value inside a thin arc of the thresholds, as Grafana draws them.
 *
 * Drawn here, because the component of Grafana is not in the npm package.
 */

import React from 'react';
import { formattedValueToString } from '@grafana/data';
import { VizRepeater } from '@grafana/ui';
import { singleValues } from './single_values.js';

const START = -125;
const END = 125;
const NAME_HEIGHT = 22;

function point(centre, radius, degrees) {
  const radians = ((degrees - 90) * Math.PI) / 180;
  return [centre.x + radius * Math.cos(radians), centre.y + radius * Math.sin(radians)];
}

function Arc({ centre, radius, thickness, from, to, color }) {
  if (to <= from) return null;
  const [startX, startY] = point(centre, radius, from);
  const [endX, endY] = point(centre, radius, to);
  const path = `M ${startX} ${startY} A ${radius} ${radius} 0 ${to - from > 180 ? 1 : 0} 1 ${endX} ${endY}`;
  return <path d={path} fill="none" stroke={color} strokeWidth={thickness} />;
}

const share = (value, { min = 0, max = 100 }) => Math.min(1, Math.max(0, (value - min) / (max - min || 1)));
const degrees = (part) => START + (END - START) * part;

function ThresholdArcs({ field, theme, ...arc }) {
  const { steps, mode } = field.thresholds;
  const start = (step) => {
    if (step.value === -Infinity) return 0;
    return mode === 'percentage' ? step.value / 100 : share(step.value, field);
  };
  return steps.map((step, index) => {
    const to = index + 1 < steps.length ? start(steps[index + 1]) : 1;
    const color = theme.visualization.getColorByName(step.color);
    return <Arc key={index} {...arc} from={degrees(start(step))} to={degrees(to)} color={color} />;
  });
}

function Gauge({ value, width, height, theme, showName, showThresholds }) {
  const room = height - (showName ? NAME_HEIGHT : 0);
  const radius = Math.max(10, Math.min(width / 2, room / 1.6) - 10);
  const centre = { x: width / 2, y: radius + 10 + Math.max(0, (room - radius * 1.6 - 20) / 2) };
  const thickness = radius * 0.26;
  const outer = { centre, radius: radius - 3, thickness: 4 };
  const inner = { centre, radius: radius - 8 - thickness / 2, thickness };
  const part = share(value.display.numeric, value.field);
  const text = formattedValueToString(value.display);
  const size = Math.min(radius * 0.5, (radius * 2.2) / Math.max(text.length, 3));
  return (
    <svg width={width} height={height} style={{ display: 'block' }}>
      <Arc {...inner} from={START} to={END} color={theme.colors.background.secondary} />
      <Arc {...inner} from={START} to={degrees(part)} color={value.display.color} />
      {showThresholds && value.field.thresholds && <ThresholdArcs field={value.field} theme={theme} {...outer} />}
      <text
        x={centre.x}
        y={centre.y + size * 0.3}
        textAnchor="middle"
        fontSize={size}
        fontWeight="500"
        fill={value.display.color}
      >
        {text}
      </text>
      {showName && (
        <text x={centre.x} y={height - 6} textAnchor="middle" fontSize={14} fill={theme.colors.text.primary}>
          {value.display.title}
        </text>
      )}
    </svg>
  );
}

export function GaugePanel({ panel, data, context, width, height }) {
  const options = panel.options ?? {};
  return (
    <VizRepeater
      getValues={() => singleValues(panel, data.frames, context, false)}
      renderValue={({ value, width: valueWidth, height: valueHeight, count }) => (
        <Gauge
          value={value}
          width={valueWidth}
          height={valueHeight}
          theme={context.theme}
          showName={count > 1}
          showThresholds={options.showThresholdMarkers !== false}
        />
      )}
      width={width}
      height={height}
      source={data}
      itemSpacing={7}
      renderCounter={0}
      autoGrid
      orientation={options.orientation ?? 'auto'}
    />
  );
}
