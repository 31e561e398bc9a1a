# SPDX-License-Identifier: Apache-2.0
"""Write the address of the repository into the files that a release publishes, and that it is published.

Usage: python -m tests.release.addresses URL IMAGE TAG. The sources contain no address, so that a fork releases under
its own. Changes the working tree: pyproject.toml receives ``[project.urls]``, Chart.yaml ``home``, ``sources`` and
``icon``, values.yaml the image, and errors.py the flag that lets messages install the package by its name. The relative
links of README.md become absolute, since an index shows that page without the files beside it. Uses the standard
library only.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = {
    "Homepage": "",
    "Documentation": "/blob/{tag}/deploy/docs/README.md",
    "Changelog": "/blob/{tag}/CHANGELOG.md",
    "Issues": "/issues",
    "Source": "/tree/{tag}",
}
"""The links of the project on an index, relative to the address of the repository."""
PLACEHOLDER = "registry.example/celery-redis-exporter"
"""The image of the chart, until a release replaces it."""
ICON = "deploy/pictures/icon.svg"
FLAG = re.compile(r"^PUBLISHED = (?:True|False)$", re.MULTILINE)
LINK = re.compile(r"(!?)\[((?:!\[[^\]]*\]\([^)]*\)|[^\]])*)\]\((?!\w+:|#)([^)]+)\)")


def project_urls(url: str, tag: str) -> str:
    """Return the table of links for pyproject.toml."""
    rows = [f'{name} = "{url}{path.format(tag=tag)}"' for name, path in PAGES.items()]
    return "\n".join(["[project.urls]", *rows]) + "\n"


def absolute_links(text: str, url: str, tag: str) -> str:
    """Return a page with absolute links to files and pictures."""

    def replace(found: re.Match[str]) -> str:
        picture, label, target = found.groups()
        label = LINK.sub(replace, label)
        return f"{picture}[{label}]({url}/{'raw' if picture else 'blob'}/{tag}/{target})"

    return LINK.sub(replace, text)


def write(root: Path, url: str, image: str, tag: str) -> None:
    """Change the five files. Raise ValueError if they were changed before."""
    project, chart, page = (
        root / "pyproject.toml",
        root / "deploy/helm/celery-redis-exporter/Chart.yaml",
        root / "README.md",
    )
    flag = root / "exporter/celery_redis_exporter/errors.py"
    text = project.read_text(encoding="utf-8")
    if "[project.urls]" in text:
        raise ValueError("pyproject.toml has [project.urls] already")
    table = f"{project_urls(url, tag)}\n[project.scripts]"
    project.write_text(text.replace("[project.scripts]", table, 1), encoding="utf-8")
    with chart.open("a", encoding="utf-8") as file:
        file.write(f"home: {url}\nsources: [{url}]\nicon: {url}/raw/{tag}/{ICON}\n")
    values = chart.with_name("values.yaml")
    text = values.read_text(encoding="utf-8")
    if PLACEHOLDER not in text:
        raise ValueError(f"values.yaml has no image {PLACEHOLDER}")
    values.write_text(text.replace(PLACEHOLDER, image), encoding="utf-8")
    text, flags = FLAG.subn("PUBLISHED = True", flag.read_text(encoding="utf-8"))
    if flags != 1:
        raise ValueError("errors.py has no line for PUBLISHED")
    flag.write_text(text, encoding="utf-8")
    page.write_text(absolute_links(page.read_text(encoding="utf-8"), url, tag), encoding="utf-8")


if __name__ == "__main__":
    write(ROOT, *sys.argv[1:4])
