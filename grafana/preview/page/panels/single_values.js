/**
 * The values that stat, gauge and bar gauge panels show: one per series, or one per row of a table.
 *
 * Takes a panel and its frames; gives Grafana's own field display values.
 */

import { getFieldDisplayValues } from '@grafana/data';
import { readFieldConfig } from '../fields/field_config.js';

export function singleValues(panel, frames, context, sparkline) {
  return getFieldDisplayValues({
    fieldConfig: readFieldConfig(panel),
    reduceOptions: { calcs: ['lastNotNull'], values: false, ...(panel.options?.reduceOptions ?? {}) },
    replaceVariables: context.replaceText,
    theme: context.theme,
    data: frames,
    sparkline,
    percentChange: panel.options?.showPercentChange,
    timeZone: 'utc',
  });
}
