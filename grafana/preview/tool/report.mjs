/**
 * What is said about a picture, and whether it is good enough.
 *
 * Takes what the page said; gives lines to print and whether anything is wrong.
 */

const FAULTS = new Set(['error', 'empty', 'legend']);

/** Judge one dashboard; `allowedEmpty` names panels as `DASHBOARD/PANEL`. */
export function judge(name, { outcome, complaints }, allowedEmpty) {
  const lines = [];
  let faults = 0;
  const fault = (text) => {
    faults += 1;
    lines.push(`  FAULT ${text}`);
  };
  if (outcome.failure) fault(outcome.failure);
  for (const name of outcome.unset) fault(`variable ${name} has no values`);
  for (const panel of outcome.panels) {
    const told = [panel.state, panel.words].filter(Boolean).join(', ');
    const text = `panel ${panel.id} "${panel.title}" (${panel.type}): ${told}`;
    const allowed = panel.state === 'empty' && allowedEmpty.has(`${name}/${panel.title}`);
    if (FAULTS.has(panel.state) && !allowed) fault(text);
    else if (panel.state !== 'drawn' || panel.words) lines.push(`  note  ${text}`);
  }
  for (const complaint of complaints) fault(`the browser said: ${complaint}`);
  return { lines, faults };
}
