/**
 * One panel: its frame as Grafana draws it, its data, and what is said when there is none.
 *
 * Takes a panel with its place in pixels; reports how it went to `report`, once, and draws the same.
 */

import React, { useEffect, useState } from 'react';
import { PanelChrome } from '@grafana/ui';
import { applyFieldConfig } from '../fields/field_config.js';
import { loadPanelData } from '../data/panel_data.js';
import { DRAWS_EMPTY, PANELS } from '../panels/index.js';
import { loadAlerts } from '../panels/alert_list.jsx';
import { judgePanel } from './judgement.js';

async function load(panel, context) {
  if (!PANELS[panel.type]) throw new Error(`the preview draws no panels of type ${panel.type}`);
  if (panel.repeat) throw new Error(`the preview repeats no panels (here for each ${panel.repeat})`);
  if (panel.type === 'text') return { frames: [] };
  if (panel.type === 'alertlist') return { frames: [], alerts: await loadAlerts(panel, context) };
  const data = await loadPanelData(panel, context);
  return { ...data, frames: applyFieldConfig(panel, data.frames, context) };
}

/** A fault while drawing is told like a fault of a query: never a blank panel without a word. */
class Guard extends React.Component {
  state = { error: null };

  static getDerivedStateFromError(error) {
    return { error };
  }

  componentDidCatch(error) {
    this.props.onError(error);
  }

  render() {
    return this.state.error ? <Notice text={String(this.state.error)} {...this.props.place} /> : this.props.children;
  }
}

function Notice({ text, width, height }) {
  return <div style={{ width, height, display: 'grid', placeItems: 'center', textAlign: 'center' }}>{text}</div>;
}

function Content({ panel, data, error, context, width, height, onError }) {
  const place = { width, height };
  if (error) return <Notice text={error.message} {...place} />;
  if (!data) return null;
  const Drawn = PANELS[panel.type];
  const noValue = panel.fieldConfig?.defaults?.noValue ?? 'No data';
  const rows = data.frames.some((frame) => frame.length > 0);
  if (!rows && !DRAWS_EMPTY.has(panel.type)) return <Notice text={noValue} {...place} />;
  return (
    <Guard place={place} onError={onError}>
      <Drawn panel={panel} data={data} context={context} {...place} />
    </Guard>
  );
}

export function Panel({ panel, place, context, report }) {
  const [loaded, setLoaded] = useState({});
  useEffect(() => {
    const own = { ...context, width: place.width };
    load(panel, own).then(
      (data) => setLoaded({ data, context: own }),
      (error) => setLoaded({ error, context: own }),
    );
  }, [panel, context, place.width]);
  useEffect(() => {
    if (loaded.context) report(panel, judgePanel(panel, loaded));
  }, [loaded]);
  const title = context.replaceText(panel.title ?? '');
  const chrome = {
    title,
    description: panel.description,
    displayMode: panel.transparent ? 'transparent' : 'default',
    padding: panel.type === 'table' ? 'none' : 'md',
    width: place.width,
    height: place.height,
  };
  return (
    <PanelChrome {...chrome}>
      {(width, height) => (
        <Content
          {...loaded}
          panel={panel}
          context={loaded.context}
          width={width}
          height={height}
          onError={(error) => report(panel, { state: 'error', words: String(error) })}
        />
      )}
    </PanelChrome>
  );
}
