/** What Grafana's panel plugins take where a dashboard says nothing; the plugins themselves are not on npm. */

const hideFrom = { legend: false, tooltip: false, viz: false };

export const CUSTOM_DEFAULTS = {
  timeseries: {
    drawStyle: 'line',
    lineInterpolation: 'linear',
    lineWidth: 1,
    lineStyle: { fill: 'solid' },
    fillOpacity: 0,
    gradientMode: 'none',
    barAlignment: 0,
    barWidthFactor: 0.6,
    stacking: { mode: 'none', group: 'A' },
    showPoints: 'auto',
    pointSize: 5,
    spanNulls: false,
    insertNulls: false,
    axisPlacement: 'auto',
    axisLabel: '',
    axisColorMode: 'text',
    axisBorderShow: false,
    axisCenteredZero: false,
    scaleDistribution: { type: 'linear' },
    thresholdsStyle: { mode: 'off' },
    hideFrom,
  },
  'state-timeline': { lineWidth: 0, fillOpacity: 70, spanNulls: false, insertNulls: false, hideFrom },
  'status-history': { lineWidth: 1, fillOpacity: 70, hideFrom },
  heatmap: { scaleDistribution: { type: 'linear' }, hideFrom },
  table: { align: 'auto', cellOptions: { type: 'auto' }, inspect: false, minWidth: 0 },
  stat: {},
  gauge: {},
  bargauge: {},
};
