# SPDX-License-Identifier: Apache-2.0
"""The commented settings file that people copy."""

import re
from pathlib import Path

from celery_redis_exporter.settings import Settings, differing, load
from celery_redis_exporter.settings.example import TARGET, render_example
from celery_redis_exporter.settings.read.file import CONFIG_FILE
from celery_redis_exporter.settings.schema.rows import describe


def read(path: Path) -> Settings:
    """Load a settings file without flags and variables."""
    return load(["--config.file", str(path)], {})


def test_the_example_has_the_defaults() -> None:
    """The committed file sets every setting to its default."""
    assert ["config.file"] == differing(read(TARGET), load([], {}))


def test_every_example_in_it_can_be_used(tmp_path: Path) -> None:
    """With every commented setting switched on the file is still valid, and each of them has an effect."""
    web = tmp_path / "web.yml"
    web.write_text("{}", encoding="utf-8")
    text = render_example().replace("/etc/celery-redis-exporter/web.yml", str(web))
    text = re.sub(r"^( *)#(?=\w)", r"\1", text, flags=re.MULTILINE)
    for name in re.findall(r"password_file: (.*)", text):
        (tmp_path / Path(name).name).write_text("word", encoding="utf-8")
        text = text.replace(name, str(tmp_path / Path(name).name))
    file = tmp_path / "settings.yml"
    file.write_text(text, encoding="utf-8")
    unset = {row.key for row in describe() if not row.default and row.kind != "JSON"}
    assert unset - {"config.file"} <= set(differing(read(file), load([], {})))


def test_it_is_complete() -> None:
    """Every setting except the file's own name has a line."""
    text = render_example()
    names = re.findall(r"^ *#?(\w+): \S", text, re.MULTILINE)
    rows = [row for row in describe() if row.kind != "JSON" and row.path != CONFIG_FILE]
    assert sorted(names) == sorted(row.path[-1] for row in rows)
