# SPDX-License-Identifier: Apache-2.0
"""Constructors return complete objects, names have one meaning, and modules depend on each other in one direction."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

from tests.contract.test_house_rules import PACKAGE, ROOT, parse

FOLDER = ROOT / "exporter" / "celery_redis_exporter"
COMPOSED = ("brokers", "collectors", "daemon", "scrape", "web")
FOREIGN = (
    "logging.", "sys.", "threading.", "logging.getLogger(", "record.", "config.", "self._server.", "context.",
    "others.router.", "self.cycle.",
)  # fmt: skip
"""Objects of the standard library and of other libraries, which are set up by their attributes."""
BEFORE = """
self.pipeline.give_way = self.precedence.give_way
self.pipeline.decode = broker.decode
self.scrape.watchers += [self.status.servers.note]
service.app.answerer.after_large = give_back_memory
scrape.backlog = lambda: stream.backlog
before, cluster.nodes = cluster.nodes, nodes
cluster.asked = cluster.session(address)
read.removed = True
event.exception, event.traceback = None, _NO_TRACEBACK
setattr(answers, reply.command, reply.answer)
"""
"""Ten places where modules completed or changed objects of other modules."""


def stores(tree: ast.AST) -> Iterator[str]:
    """Yield each store to an attribute of another object than ``self``, except to the values of series."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr":
            yield ast.unparse(node)
        if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Store) or node.attr == "value":
            continue
        if not (isinstance(node.value, ast.Name) and node.value.id == "self"):
            yield ast.unparse(node)


def test_nothing_is_attached_from_outside() -> None:
    """In the folders that connect layers no module stores to an attribute of another module's object."""
    found = {
        f"{path.relative_to(FOLDER)}:{store}"
        for path in PACKAGE
        if path.relative_to(FOLDER).parts[0] in COMPOSED
        for store in stores(parse(path))
        if not store.startswith(FOREIGN)
    }
    assert set() == found


@pytest.mark.parametrize("line", BEFORE.strip().splitlines())
def test_attachments_are_found(line: str) -> None:
    """The check above finds each of the ten places that the package once had."""
    found = [store for store in stores(ast.parse(line)) if not store.startswith(FOREIGN)]
    assert len(found) >= 1


def test_class_names_are_unique() -> None:
    """Class names are unique in the package."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in PACKAGE:
        for found in re.findall(r"^ *class (\w+)[(:]", path.read_text(encoding="utf-8"), re.MULTILINE):
            places[found].append(str(path.relative_to(FOLDER)))
    assert len(places) > 300
    assert {} == {name: found for name, found in places.items() if len(found) > 1}


def test_there_is_no_import_cycle() -> None:
    """No module imports itself indirectly, annotations included; the package's public names are lazy."""
    graph = grimp.build_graph("celery_redis_exporter")
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    imports["celery_redis_exporter"] = set()
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the modules


def test_the_top_of_the_package_has_four_modules() -> None:
    """Every other module is in a folder that is named for its purpose."""
    assert {"__init__.py", "__main__.py", "clock.py", "errors.py"} == {path.name for path in FOLDER.glob("*.py")}


def test_folders_mirror_the_package() -> None:
    """Unit tests are in folders with the names of the package's folders."""
    modules = {path.relative_to(FOLDER).with_suffix("") for path in PACKAGE}
    tests = [path for path in (ROOT / "tests" / "unit").rglob("test_*.py") if path.parent != ROOT / "tests" / "unit"]
    folders = {Path(*module.parts[:-1]) for module in modules}
    assert set() == {path.parent.relative_to(ROOT / "tests" / "unit") for path in tests} - folders
