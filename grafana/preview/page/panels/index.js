/** Which component draws which type of panel. */

import { AlertListPanel } from './alert_list.jsx';
import { BarGaugePanel } from './bar_gauge.jsx';
import { GaugePanel } from './gauge.jsx';
import { HeatmapPanel } from './heatmap.jsx';
import { StatPanel } from './stat.jsx';
import { StateTimelinePanel } from './state_timeline.jsx';
import { TablePanel } from './table.jsx';
import { TextPanel } from './text.jsx';
import { TimeSeriesPanel } from './timeseries.jsx';

export const PANELS = {
  alertlist: AlertListPanel,
  bargauge: BarGaugePanel,
  gauge: GaugePanel,
  heatmap: HeatmapPanel,
  stat: StatPanel,
  'state-timeline': StateTimelinePanel,
  table: TablePanel,
  text: TextPanel,
  timeseries: TimeSeriesPanel,
};

/** Types that draw something of their own when there is no data, as in Grafana: a big `noValue`. */
export const DRAWS_EMPTY = new Set(['stat', 'gauge', 'bargauge', 'text', 'alertlist']);
