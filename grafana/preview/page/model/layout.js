/**
 * Where a dashboard's panels stand, in grid units and in pixels.
 *
 * Takes the panels as stored, gives a flat list of what is drawn, top to bottom. Never changes the panels given.
 */

export const COLUMNS = 24;
export const ROW_HEIGHT = 30;
export const GAP = 8;

/** Give the panels that are drawn; `openRows` draws what stands in collapsed rows, and moves the rest down. */
export function placePanels(panels, openRows) {
  const placed = [];
  let moved = 0;
  for (const panel of inOrder(panels)) {
    const opened = panel.type === 'row' && panel.collapsed && openRows && panel.panels?.length > 0;
    placed.push(moveDown(opened ? { ...panel, collapsed: false } : panel, moved));
    if (!opened) continue;
    const top = panel.gridPos.y + 1;
    // Panels of a collapsed row keep the place they had when it was open; a row added above may have shifted it.
    const shift = top - Math.min(...panel.panels.map((each) => each.gridPos.y));
    placed.push(...panel.panels.map((each) => moveDown(each, moved + shift)));
    moved += Math.max(...panel.panels.map(bottom)) + shift - top;
  }
  return moveUp(placed);
}

/** Close the holes: Grafana moves each panel up until another one stops it. */
function moveUp(placed) {
  const depth = new Array(COLUMNS).fill(0);
  return inOrder(placed).map((panel) => {
    const { x, w, h } = panel.gridPos;
    const y = Math.max(...depth.slice(x, x + w));
    depth.fill(y + h, x, x + w);
    return { ...panel, gridPos: { ...panel.gridPos, y } };
  });
}

/** The dashboard's height in pixels, for panels that `placePanels` gave. */
export function gridHeight(placed) {
  const rows = Math.max(0, ...placed.map(bottom));
  return rows ? rows * (ROW_HEIGHT + GAP) - GAP : 0;
}

/** A panel's place in pixels on a grid `width` pixels wide. */
export function pixelPlace({ x, y, w, h }, width) {
  const column = (width - GAP * (COLUMNS - 1)) / COLUMNS;
  return {
    left: Math.round(x * (column + GAP)),
    top: y * (ROW_HEIGHT + GAP),
    width: Math.round(w * column + (w - 1) * GAP),
    height: h * ROW_HEIGHT + (h - 1) * GAP,
  };
}

const inOrder = (panels) =>
  [...panels].sort((one, other) => one.gridPos.y - other.gridPos.y || one.gridPos.x - other.gridPos.x);
const bottom = (panel) => panel.gridPos.y + panel.gridPos.h;
const moveDown = (panel, rows) => ({ ...panel, gridPos: { ...panel.gridPos, y: panel.gridPos.y + rows } });
