"""The process's own metrics, as every Python process gives them: ``process_*``, ``python_info``, ``python_gc_*``.

Takes nothing, gives them rendered. Reads /proc/self at each rendering, and nothing where there is none. Never touches
prometheus_client's global registry.
"""

from prometheus_client import exposition
from prometheus_client.gc_collector import GCCollector
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import CollectorRegistry


class ProcessMetrics:
    """prometheus_client's collectors for the process, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def render(self, *, openmetrics: bool) -> bytes:
        """Render in one of the two formats, without ``# EOF``."""
        if openmetrics:
            body: bytes = openmetrics_exposition.generate_latest(self._registry)  # type: ignore[no-untyped-call]
            return body.removesuffix(b"# EOF\n")
        return exposition.generate_latest(self._registry)
