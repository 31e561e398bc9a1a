"""Rule 1: no module imports itself by way of others, annotations included."""

import graphlib

import grimp

PACKAGE = "celery_redis_exporter"


def test_there_is_no_import_cycle() -> None:
    """Every module can be imported after all that it imports. The root package names ``Collector`` lazily."""
    graph = grimp.build_graph(PACKAGE)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules - {PACKAGE}}
    graphlib.TopologicalSorter(imports).prepare()
