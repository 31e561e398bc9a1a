/** A text panel: markdown or HTML, cleaned by Grafana's own rules. */

import React from 'react';
import { renderTextPanelMarkdown, textUtil } from '@grafana/data';

export function TextPanel({ panel, context, width, height }) {
  const { content = '', mode = 'markdown' } = panel.options ?? {};
  const text = context.replaceText(content);
  const html = mode === 'html' ? textUtil.sanitizeTextPanelContent(text) : renderTextPanelMarkdown(text);
  const place = { width, height, overflow: 'hidden' };
  if (mode === 'code') return <pre style={place}>{text}</pre>;
  return <div className="markdown-html" style={place} dangerouslySetInnerHTML={{ __html: html }} />;
}
