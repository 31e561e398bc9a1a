/**
 * Bars for single values, drawn by Grafana's own BarGauge component.
 */

import React from 'react';
import { getDisplayValueAlignmentFactors } from '@grafana/data';
import { BarGauge, VizRepeater } from '@grafana/ui';
import { singleValues } from './single_values.js';

const DEFAULTS = {
  displayMode: 'gradient',
  orientation: 'auto',
  showUnfilled: true,
  valueMode: 'color',
  namePlacement: 'auto',
};
const LEAST_WIDTH = 8;
const LEAST_HEIGHT = 16;
const MOST_HEIGHT = 300;

export function BarGaugePanel({ panel, data, context, width, height }) {
  const options = { ...DEFAULTS, ...(panel.options ?? {}) };
  const sized = options.sizing === 'manual';
  const chosen = options.orientation === 'auto' ? (width > height ? 'vertical' : 'horizontal') : options.orientation;
  const renderValue = ({ value, width: valueWidth, height: valueHeight, alignmentFactors, orientation, count }) => (
    <BarGauge
      value={value.display}
      field={value.field}
      display={value.view?.getFieldDisplayProcessor(value.colIndex)}
      width={valueWidth}
      height={valueHeight}
      orientation={orientation}
      theme={context.theme}
      text={options.text}
      itemSpacing={options.displayMode === 'lcd' ? 2 : 10}
      lcdCellWidth={8}
      displayMode={options.displayMode}
      alignmentFactors={count > 1 ? alignmentFactors : undefined}
      showUnfilled={options.showUnfilled}
      valueDisplayMode={options.valueMode}
      namePlacement={options.namePlacement}
    />
  );
  return (
    <VizRepeater
      getValues={() => singleValues(panel, data.frames, context, false)}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={renderValue}
      width={width}
      height={height}
      source={data}
      itemSpacing={options.displayMode === 'lcd' ? 2 : 10}
      renderCounter={0}
      minVizWidth={sized ? options.minVizWidth : LEAST_WIDTH}
      minVizHeight={sized ? options.minVizHeight : LEAST_HEIGHT}
      maxVizHeight={sized ? options.maxVizHeight : MOST_HEIGHT}
      orientation={chosen}
    />
  );
}
