/**
 * Big single values with an optional sparkline, drawn by Grafana's own BigValue component.
 */

import React from 'react';
import { getDisplayValueAlignmentFactors } from '@grafana/data';
import { BigValue, VizRepeater } from '@grafana/ui';
import { singleValues } from './single_values.js';

const DEFAULTS = {
  graphMode: 'area',
  colorMode: 'value',
  justifyMode: 'auto',
  textMode: 'auto',
  orientation: 'auto',
  wideLayout: true,
};

export function StatPanel({ panel, data, context, width, height }) {
  const options = { ...DEFAULTS, ...(panel.options ?? {}) };
  const showName =
    panel.fieldConfig?.defaults?.displayName && options.textMode === 'auto' ? 'value_and_name' : options.textMode;
  const renderValue = ({ value, width: valueWidth, height: valueHeight, count, alignmentFactors }) => {
    const sparkline = options.graphMode === 'none' ? undefined : value.sparkline;
    if (sparkline) sparkline.timeRange = context.timeRange;
    return (
      <BigValue
        value={value.display}
        count={count}
        sparkline={sparkline}
        colorMode={options.colorMode}
        graphMode={options.graphMode}
        justifyMode={options.justifyMode}
        textMode={showName}
        alignmentFactors={alignmentFactors}
        text={options.text}
        disableWideLayout={!options.wideLayout}
        width={valueWidth}
        height={valueHeight}
        theme={context.theme}
      />
    );
  };
  return (
    <VizRepeater
      getValues={() => singleValues(panel, data.frames, context, options.graphMode !== 'none')}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={renderValue}
      width={width}
      height={height}
      source={data}
      itemSpacing={3}
      renderCounter={0}
      autoGrid
      orientation={options.orientation}
    />
  );
}
