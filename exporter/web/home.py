"""The landing page: what this is, where to go, how it is doing.

Takes the version, the path of the metrics and the rows of a table; gives one HTML document that loads nothing else.
Everything that comes in is escaped. Never asks for the state itself.
"""

from collections.abc import Iterable
from html import escape
from typing import NamedTuple

GOOD = frozenset({"ok", "up", "ready", "connected"})
BAD = frozenset({"failed", "down", "lost"})

_STYLE = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--text:#1c2330;--soft:#5b6575;--line:#dfe3e9;--link:#0b5cad;
--good:#16713a;--bad:#b3261e;--wait:#8a5a00}
@media(prefers-color-scheme:dark){:root{--bg:#12161d;--card:#1b212b;--text:#e6eaf0;--soft:#9aa5b5;--line:#2f3845;
--link:#7cb8ff;--good:#6bd68f;--bad:#ff8a80;--wait:#f0c060}}
*{box-sizing:border-box}
body{margin:0;padding:1.5rem 1rem;background:var(--bg);color:var(--text);font:1rem/1.5 system-ui,sans-serif}
main{max-width:46rem;margin:0 auto}
h1{margin:0;font-size:1.4rem}
p{margin:.25rem 0 1.25rem;color:var(--soft)}
nav{display:flex;flex-wrap:wrap;gap:.75rem;margin-bottom:1.25rem}
a{padding:.5rem .9rem;border:1px solid var(--line);border-radius:.5rem;background:var(--card);color:var(--link);
text-decoration:none}
a:hover,a:focus{border-color:var(--link)}
table{width:100%;border-collapse:collapse;border:1px solid var(--line);background:var(--card)}
th,td{padding:.55rem .8rem;border-top:1px solid var(--line);text-align:left;vertical-align:top;
overflow-wrap:anywhere}
th{color:var(--soft);font-weight:600;font-size:.875rem}
.state{white-space:nowrap;font-weight:600;color:var(--wait)}.good{color:var(--good)}.bad{color:var(--bad)}
@media(max-width:30rem){th,td{padding:.45rem .5rem;font-size:.9rem}}
"""


class Check(NamedTuple):
    """A row of the table: what is checked, its state in a word (``ok``, ``failed``, else neither), and why."""

    check: str
    state: str
    detail: str


def render_home(name: str, version: str, telemetry_path: str, checks: Iterable[Check]) -> str:
    """Render the page; its links are relative, so that they hold behind a proxy that adds a prefix."""
    title = escape(name)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body><main>\n"
        f"<h1>{title}</h1>\n<p>Version {escape(version)}</p>\n<nav>"
        f'<a href="./{escape(telemetry_path.lstrip("/"))}">Metrics</a>'
        '<a href="./-/healthy">Healthy?</a><a href="./-/ready">Ready?</a></nav>\n'
        f"{_render_table(checks)}</main></body></html>\n"
    )


def _render_table(checks: Iterable[Check]) -> str:
    rows = "".join(_render_row(check) for check in checks)
    if not rows:
        return ""
    return (
        f"<table><thead><tr><th>Check</th><th>State</th><th>Detail</th></tr></thead>\n<tbody>{rows}</tbody></table>\n"
    )


def _render_row(check: Check) -> str:
    # Colour repeats what the word says; it never says anything alone.
    tone = " good" if check.state in GOOD else " bad" if check.state in BAD else ""
    return (
        f'<tr><td>{escape(check.check)}</td><td class="state{tone}">{escape(check.state)}</td>'
        f"<td>{escape(check.detail)}</td></tr>\n"
    )
