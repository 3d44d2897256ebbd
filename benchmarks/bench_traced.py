"""An app with the no-op task of the benchmarks, traced by OpenTelemetry: one trace in a hundred is sampled."""

import os
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from streamtasks import StreamTasks
from streamtasks.integrations.opentelemetry import OpenTelemetry


class Nowhere(SpanExporter):
    """Takes spans and keeps none."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002 - the name is the interface's
        """Answer that all is well."""
        return SpanExportResult.SUCCESS


_provider = TracerProvider(sampler=ParentBasedTraceIdRatio(0.01))
_provider.add_span_processor(BatchSpanProcessor(Nowhere()))
app = StreamTasks(os.environ["STREAMTASKS_BENCHMARK_URL"], middleware=[OpenTelemetry(_provider)])


@app.task(name="bench_tasks.noop")
def noop() -> None:
    """Do nothing."""
