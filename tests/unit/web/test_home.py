"""The landing page."""

import re

import pytest

from exporter.web.home import Check, render_home


def test_links_are_relative() -> None:
    """The page leads to the metrics and both checks, also behind a proxy that adds a prefix."""
    page = render_home("celery-redis-exporter", "1.2.3", "/custom/metrics", [])
    assert ["./custom/metrics", "./-/healthy", "./-/ready"] == re.findall(r'href="([^"]*)"', page)


def test_name_version_and_rows_are_shown() -> None:
    """The page names the program, its version and each check."""
    page = render_home("celery-redis-exporter", "1.2.3", "/metrics", [Check("event stream", "ok", "connected for 3 s")])
    for text in ("<h1>celery-redis-exporter</h1>", "Version 1.2.3", "event stream", ">ok<", "connected for 3 s"):
        assert text in page


def test_without_checks_there_is_no_table() -> None:
    """No empty table stands on the page."""
    assert "<table>" not in render_home("x", "1", "/metrics", [])


def test_everything_is_escaped() -> None:
    """Nothing that comes in can become markup."""
    evil = """<script>"'&"""
    page = render_home(evil, evil, f"/{evil}", [Check(evil, evil, evil)])
    assert "<script" not in page
    assert 7 == page.count("&lt;script&gt;&quot;&#x27;&amp;")


def test_nothing_is_loaded() -> None:
    """The page is one document: what its security policy forbids it does not need."""
    page = render_home("x", "1", "/metrics", [Check("a", "ok", "b")])
    assert [] == re.findall(r"<script|<link|<img|src=|url\(|@import| style=", page)


@pytest.mark.parametrize(("state", "tone"), [("ok", "state good"), ("failed", "state bad"), ("starting", "state")])
def test_the_state_has_a_colour(state: str, tone: str) -> None:
    """Good, bad and neither are told apart at a glance."""
    assert f'<td class="{tone}">{state}</td>' in render_home("x", "1", "/metrics", [Check("a", state, "")])
