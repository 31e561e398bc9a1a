/**
 * The page that the browser opens: asks for its job, draws the dashboard, and tells when it is done.
 *
 * Leaves the outcome in `window.preview`, which `tool/browser.mjs` waits for and reads.
 */

import React from 'react';
import { createRoot } from 'react-dom/client';
import { ThemeContext } from '@grafana/data';
import { initPluginTranslations } from '@grafana/i18n';
import { GlobalStyles, PortalContainer } from '@grafana/ui';
import { placePanels } from '../model/layout.js';
import { buildContext } from './context.js';
import { Grid } from './grid.jsx';
import { Header } from './header.jsx';
import { settled } from './settled.js';

const PADDING = 16;

window.preview = { done: false, panels: [], unset: [], waiting: [], failure: null };

function Dashboard({ job, context, placed, report }) {
  const { theme } = context;
  const style = {
    width: job.width,
    minHeight: 200,
    background: theme.colors.background.canvas,
    color: theme.colors.text.primary,
  };
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div id="dashboard" style={{ ...style, paddingBottom: PADDING }}>
        <Header job={job} context={context} />
        <div style={{ padding: `0 ${PADDING}px` }}>
          <Grid placed={placed} width={job.width - 2 * PADDING} context={context} report={report} />
        </div>
      </div>
      <PortalContainer />
    </ThemeContext.Provider>
  );
}

async function draw() {
  const job = await (await fetch(`job${location.search}`)).json();
  await initPluginTranslations('preview', []);
  const context = await buildContext(job);
  const placed = placePanels(job.dashboard.panels, job.openRows);
  const waiting = new Map(placed.filter((panel) => panel.type !== 'row').map((panel) => [panel.id, panel.title]));
  const outcomes = new Map();
  const report = (panel, judgement) => {
    // A fault while drawing outweighs the good word on the data, which may come after it.
    if (outcomes.get(panel.id)?.state === 'error') return;
    outcomes.set(panel.id, {
      id: panel.id,
      title: context.replaceText(panel.title ?? ''),
      type: panel.type,
      ...judgement,
    });
    waiting.delete(panel.id);
    window.preview.waiting = [...waiting.values()];
  };
  createRoot(document.getElementById('root')).render(<Dashboard {...{ job, context, placed, report }} />);
  await settled(() => waiting.size === 0);
  window.preview.unset = context.unset;
  window.preview.panels = placed.filter((panel) => outcomes.has(panel.id)).map((panel) => outcomes.get(panel.id));
}

draw()
  .catch((error) => {
    window.preview.failure = String(error?.message ?? error);
  })
  .finally(() => {
    window.preview.done = true;
  });
