/**
 * A panel's field configuration, applied to frames by Grafana's own rules.
 *
 * Takes frames and the panel; gives new frames whose fields have a display processor, a state and their overrides.
 */

import { applyFieldOverrides, cacheFieldDisplayNames, FieldConfigOptionsRegistry } from '@grafana/data';
import { CUSTOM_DEFAULTS } from './custom_defaults.js';

const STANDARD = [
  'unit',
  'min',
  'max',
  'fieldMinMax',
  'decimals',
  'displayName',
  'noValue',
  'thresholds',
  'mappings',
  'color',
  'links',
  'actions',
  'description',
  'filterable',
];

const item = (id, path, isCustom) => ({
  id,
  path,
  isCustom,
  name: id,
  editor: () => null,
  override: () => null,
  process: (value) => value,
  settings: {},
  shouldApply: () => true,
  getItemsCount: () => 0,
});

/** Every option that the panel itself names: what a panel plugin would register, without the plugin. */
function optionRegistry(defaults, overrides) {
  const ids = new Set(Object.keys(defaults.custom).map((key) => `custom.${key}`));
  for (const { properties } of overrides) for (const { id } of properties) if (id.startsWith('custom.')) ids.add(id);
  const custom = [...ids].map((id) => item(id, id.slice('custom.'.length), true));
  return new FieldConfigOptionsRegistry(() => [...STANDARD.map((id) => item(id, id, false)), ...custom]);
}

/** In JSON the first threshold has no value; Grafana reads it as less than anything. */
function readThresholds(thresholds) {
  if (!thresholds)
    return {
      mode: 'absolute',
      steps: [
        { value: -Infinity, color: 'green' },
        { value: 80, color: 'red' },
      ],
    };
  const steps = thresholds.steps.map((step, index) => (index === 0 ? { ...step, value: -Infinity } : step));
  return { ...thresholds, steps };
}

function readOverride({ matcher, properties }) {
  const read = (each) => (each.id === 'thresholds' ? { ...each, value: readThresholds(each.value) } : each);
  return { matcher, properties: properties.map(read) };
}

/** Read a panel's field configuration with the defaults that its plugin has. */
export function readFieldConfig(panel) {
  const { defaults = {}, overrides = [] } = panel.fieldConfig ?? {};
  const custom = { ...(CUSTOM_DEFAULTS[panel.type] ?? {}), ...(defaults.custom ?? {}) };
  const color = defaults.color ?? { mode: panel.type === 'timeseries' ? 'palette-classic' : 'thresholds' };
  return {
    defaults: {
      ...defaults,
      color,
      custom,
      thresholds: readThresholds(defaults.thresholds),
      mappings: defaults.mappings ?? [],
    },
    overrides: overrides.map(readOverride),
  };
}

/** Apply a panel's field configuration to frames. */
export function applyFieldConfig(panel, frames, { theme, replaceText }) {
  const fieldConfig = readFieldConfig(panel);
  const applied = applyFieldOverrides({
    data: frames,
    theme,
    timeZone: 'utc',
    replaceVariables: replaceText,
    fieldConfigRegistry: optionRegistry(fieldConfig.defaults, fieldConfig.overrides),
    fieldConfig,
  });
  // The table reads a column's name from there, and nowhere else.
  cacheFieldDisplayNames(applied);
  return applied;
}
