/**
 * A server on a free loopback port: the page, Grafana's icons, its fonts, the jobs, and a way to Prometheus.
 *
 * Takes the bundle's folder, Prometheus's URL and the jobs; gives the server's own URL and an end. Passes nothing on
 * but questions to Prometheus's HTTP API, so that Prometheus needs no CORS setting.
 */

import { createReadStream } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const packageFolder = (name) => path.dirname(require.resolve(`${name}/package.json`));
const ICONS = path.join(packageFolder('@grafana/ui'), 'dist/public');
const fontFile = (name) =>
  path.join(packageFolder(`@fontsource-variable/${name}`), `files/${name}-latin-wght-normal.woff2`);
const FONTS = { inter: fontFile('inter'), roboto: fontFile('roboto-mono') };

const PAGE = fileURLToPath(new URL('../page/index.html', import.meta.url));

const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};

async function sendFile(reply, file) {
  reply.writeHead(200, { 'content-type': TYPES[path.extname(file)] ?? 'application/octet-stream' });
  await pipeline(createReadStream(file), reply);
}

async function passOn(request, reply, prometheus) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const asked = await fetch(prometheus + request.url.slice('/prometheus'.length), {
    method: request.method,
    headers: request.method === 'POST' ? { 'content-type': 'application/x-www-form-urlencoded' } : {},
    body: request.method === 'POST' ? Buffer.concat(chunks) : undefined,
  });
  reply.writeHead(asked.status, { 'content-type': 'application/json' });
  reply.end(Buffer.from(await asked.arrayBuffer()));
}

function answer(request, reply, { folder, prometheus, jobs }) {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
  if (pathname === '/') return sendFile(reply, PAGE);
  if (pathname === '/job')
    return reply
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify(jobs[searchParams.get('number')]));
  if (pathname.startsWith('/prometheus/api/v1/')) return passOn(request, reply, prometheus);
  // Grafana asks for one file per weight; a variable font serves them all.
  const font = /^\/public\/fonts\/(inter|roboto)\//.exec(pathname);
  if (font) return sendFile(reply, FONTS[font[1]]);
  const icon = /^\/public\/build\/(img\/icons\/[\w-]+\/[\w-]+\.svg)$/.exec(pathname);
  if (icon) return sendFile(reply, path.join(ICONS, icon[1]));
  if (/^\/page\.(js|css)$/.test(pathname)) return sendFile(reply, path.join(folder, pathname));
  return reply.writeHead(404).end();
}

/** Start the server; gives `{ url, close }`. */
export async function serve(parts) {
  const server = createServer((request, reply) => {
    Promise.resolve(answer(request, reply, parts)).catch((error) => {
      if (!reply.headersSent) reply.writeHead(502, { 'content-type': 'application/json' });
      reply.end(JSON.stringify({ status: 'error', error: `${error.message}: ${error.cause?.message ?? ''}` }));
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close(() => undefined) };
}
