"""What the server tells Prometheus of itself."""

from collections.abc import Callable, MutableMapping
from typing import Any

from sensorium.core.errors import need

SIZES = (1, 2, 4, 8, 16, 32, 64)
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Meters:
    """Counters of one server, in a registry of their own."""

    def __init__(self):
        prometheus = need("prometheus_client", "web", "the metrics of a server")
        self._prometheus, self.registry = prometheus, prometheus.CollectorRegistry()
        made = {"registry": self.registry}
        self._requests = prometheus.Counter("sensorium_requests", "Answers given.", ["route", "status"], **made)
        self._seconds = prometheus.Histogram(
            "sensorium_request_seconds", "From the first byte to the last.", ["route"], buckets=SECONDS, **made
        )
        self._refused = prometheus.Counter("sensorium_refused", "Requests sent away at the gate.", ["status"], **made)
        self._received = prometheus.Counter("sensorium_received_bytes", "Bytes of bodies that were taken in.", **made)
        self._batches = prometheus.Histogram(
            "sensorium_batch", "Things that were worked on together.", ["line"], buckets=SIZES, **made
        )

    def answered(self, scope: MutableMapping[str, Any], status: int, seconds: float, size: int) -> None:
        route = scope.get("route")  # the framework puts it there; what was sent away at the gate has none
        name = "none" if route is None else route.path
        self._requests.labels(name, status).inc()
        self._seconds.labels(name).observe(seconds)
        self._received.inc(size)

    def refused(self, status: int) -> None:
        self._refused.labels(status).inc()

    def batch(self, line: str, size: int) -> None:
        self._batches.labels(line).observe(size)

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A number that is asked for when somebody looks."""
        self._prometheus.Gauge(f"sensorium_{name}", text, registry=self.registry).set_function(value)

    def total(self) -> int:
        """How many requests have been answered."""
        (family,) = self._requests.collect()
        return round(sum(sample.value for sample in family.samples if sample.name.endswith("_total")))

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return self._prometheus.generate_latest(self.registry)
