"""``/metrics``: the same figures as ``/status``, as Prometheus text."""

from collections.abc import Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from engine.pipeline.statistics import Snapshot
from engine.stats import Lateness
from transport.http.keys import LIBRARY, PROCESS, PROCESSED, STREAMS
from transport.http.process import Process
from transport.http.routing import Route
from transport.sessions import StreamRegistry

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Streams(Collector):
    """Totals over all streams, the ended ones included, so that counters never fall."""

    def __init__(self, streams: StreamRegistry) -> None:
        self._streams = streams

    def collect(self) -> Iterator[Metric]:
        streams = self._streams
        now = [stream.media.sender.statistics for stream in streams.streams()]
        connected = sum(stream.media.sender.started for stream in streams.streams())
        yield GaugeMetricFamily("avatar_streams", "Streams.", value=len(now))
        yield GaugeMetricFamily("avatar_streams_connected", "Streams that play.", value=connected)
        yield CounterMetricFamily(
            "avatar_streams_created", "Streams created.", value=streams.created_total
        )
        ended = CounterMetricFamily("avatar_streams_ended", "Streams ended.", labels=["reason"])
        for reason, count in streams.ended.items():
            ended.add_metric([reason], count)
        yield ended
        past = streams.past
        for name, text in (
            ("pictures", "Pictures sent."),
            ("packets", "RTP packets sent."),
            ("bytes", "Bytes handed to the sockets for media."),
            ("retransmitted", "Packets sent again."),
            ("keyframe_requests", "Picture-loss indications."),
        ):
            total = getattr(past, name) + sum(getattr(figures, name) for figures in now)
            yield CounterMetricFamily(f"avatar_{name}", text, value=total)
        lateness = Lateness()
        for figures in (past, *now):
            lateness.merge(figures.lateness)
        yield _histogram(lateness)


class _Process(Collector):
    def __init__(self, process: Process) -> None:
        self._process = process

    def collect(self) -> Iterator[Metric]:
        info = self._process.read()
        yield CounterMetricFamily("process_cpu_seconds", "CPU time used.", value=info.cpu_seconds)
        yield GaugeMetricFamily(
            "process_resident_memory_bytes", "Memory used.", value=info.memory_bytes
        )
        yield GaugeMetricFamily("process_threads", "Threads.", value=info.threads)
        yield GaugeMetricFamily(
            "process_uptime_seconds", "Time since the start.", value=info.uptime_seconds
        )


class _Pipelines(Collector):
    """Where the frames of processed streams spend their time, and where they are left out."""

    def __init__(self, snapshots: dict[str, Snapshot]) -> None:
        self._snapshots = snapshots

    def collect(self) -> Iterator[Metric]:
        name = ["pipeline"]
        rates = GaugeMetricFamily(
            "avatar_pipeline_fps", "Frames per second.", labels=[*name, "stage"]
        )
        latency = GaugeMetricFamily(
            "avatar_pipeline_latency_seconds",
            "Time before each stage, and end to end, over the last frames.",
            labels=[*name, "stage", "quantile"],
        )
        dropped = CounterMetricFamily(
            "avatar_pipeline_dropped_frames", "Frames left out.", labels=[*name, "place"]
        )
        faults = CounterMetricFamily(
            "avatar_pipeline_faults", "Failures of processors.", labels=[*name, "processor"]
        )
        for pipeline, reading in self._snapshots.items():
            for stage in ("capture", "process", "display"):
                rates.add_metric([pipeline, stage], getattr(reading, f"{stage}_fps"))
            for stage, times in reading.latency.items():
                latency.add_metric([pipeline, stage, "0.5"], times.p50_ms / 1000)
                latency.add_metric([pipeline, stage, "0.95"], times.p95_ms / 1000)
            for place, count in reading.dropped.items():
                dropped.add_metric([pipeline, place], count)
            for processor, count in reading.faults.items():
                faults.add_metric([pipeline, processor], count)
        yield from (rates, latency, dropped, faults)


def _histogram(lateness: Lateness) -> HistogramMetricFamily:
    buckets = []
    running = 0
    for bound, count in zip((*lateness.BOUNDS, float("inf")), lateness.counts, strict=True):
        running += count
        buckets.append(("+Inf" if bound == float("inf") else str(bound), float(running)))
    return HistogramMetricFamily(
        "avatar_send_lateness_seconds",
        "Delay of pictures against their schedule.",
        buckets=buckets,
        sum_value=lateness.total,
    )


async def get_metrics(request: web.Request, body: None) -> web.Response:
    """Return all metrics."""
    app = request.app
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Streams(app[STREAMS]))
    registry.register(_Process(app[PROCESS]))
    registry.register(_Pipelines(app[PROCESSED].snapshots()))
    counts: dict[str, int] = {}
    for entry in app[LIBRARY].entries():
        counts[entry.status] = counts.get(entry.status, 0) + 1
    registry.register(_Avatars(counts))
    return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE})


class _Avatars(Collector):
    def __init__(self, counts: dict[str, int]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("avatar_avatars", "Avatars by status.", labels=["status"])
        for status, count in sorted(self._counts.items()):
            family.add_metric([status], count)
        yield family


ROUTES = (Route("GET", "/metrics", get_metrics, "Prometheus metrics.", media_type="text/plain"),)
