/**
 * The colours of a heatmap, as Grafana's heatmap panel takes them from d3-scale-chromatic.
 *
 * Takes a scheme's name; gives colours from few to many. Light ends of a scheme are turned to suit the theme.
 */

import * as chromatic from 'd3-scale-chromatic';
import { colorManipulator } from '@grafana/data';

// Which schemes Grafana turns around in the light theme, and which in both; all others it turns in the dark one.
const TURNED_IN_LIGHT = new Set('Turbo Cividis Viridis Magma Inferno Plasma Warm Cool Cubehelix'.split(' '));
const TURNED_ALWAYS = new Set('BrBG PiYG PRGn PuOr RdBu RdGy RdYlBu RdYlGn Spectral Rainbow Sinebow'.split(' '));

function isTurned(scheme, isDark) {
  if (TURNED_ALWAYS.has(scheme)) return true;
  return TURNED_IN_LIGHT.has(scheme) ? !isDark : isDark;
}

/** Give the colours for a panel's colour options. */
export function heatmapPalette(
  { scheme = 'Oranges', steps = 64, reverse = false, mode = 'scheme', fill = 'dark-orange', exponent = 0.5 },
  theme,
) {
  const shares = Array.from({ length: steps }, (_, index) => index / Math.max(steps - 1, 1));
  if (mode === 'opacity') {
    const color = theme.visualization.getColorByName(fill);
    return shares.map((share) => colorManipulator.alpha(color, share ** exponent));
  }
  const interpolate = chromatic[`interpolate${scheme === 'Cubehelix' ? 'CubehelixDefault' : scheme}`];
  if (!interpolate) throw new Error(`no such colour scheme: ${scheme}`);
  const colors = shares.map((share) => interpolate(share));
  return reverse || isTurned(scheme, theme.isDark) ? colors.reverse() : colors;
}
