/**
 * The page's program, bundled from its sources and Grafana's packages.
 *
 * Takes nothing, gives the folder with `page.js` and `page.css`.
 */

import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';

const at = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));

export async function bundlePage() {
  await build({
    entryPoints: { page: at('page/dashboard/main.jsx') },
    outdir: at('build'),
    bundle: true,
    minify: true,
    format: 'iife',
    jsx: 'automatic',
    target: 'chrome120',
    define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
    // Editors come along with the package, and are never shown: their fonts are left out.
    loader: { '.svg': 'text', '.woff2': 'empty', '.ttf': 'empty', '.png': 'dataurl' },
    logLevel: 'error',
  });
  return at('build');
}
