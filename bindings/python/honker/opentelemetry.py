"""OpenTelemetry, on the package opentelemetry-api, which the application has. Nothing of it is loaded otherwise.

    import honker.opentelemetry

    honker.opentelemetry.instrument()

A span for what enqueues a job and one for each time it is run, the child of the former in whichever process it runs.
The trace context travels in the job's metadata. Names are those of the semantic conventions for messaging.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from opentelemetry.propagate import extract, inject
from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider, get_tracer

from ._values import moment
from ._version import __version__
from .enqueue import Enqueue, Enqueued, EnqueueOptions, add_middleware, remove_middleware
from .job import Job
from .outcome import Snooze
from .worker import add_job_middleware, remove_job_middleware

# The metadata's key for when the job could first run, in Unix milliseconds.
DUE_AT = "honker.due_at_ms"


def instrument(tracer_provider: TracerProvider | None = None) -> Callable[[], None]:
    """Has spans made from here on; with the provider, by default the global one. What it returns ends that."""
    tracer = get_tracer("honker", __version__, tracer_provider)

    def sending(job: Enqueue, proceed: Callable[[], Enqueued | None]) -> Enqueued | None:
        attributes = _attributes(job.queue, "send")
        with tracer.start_as_current_span(f"send {job.queue}", kind=SpanKind.PRODUCER, attributes=attributes) as span:
            metadata = {**(job.options.get("metadata") or {}), DUE_AT: str(_due_at_ms(job.options))}
            inject(metadata)
            job.options = {**job.options, "metadata": metadata}
            enqueued = proceed()
            if enqueued is not None and enqueued.id:
                span.set_attribute("messaging.message.id", str(enqueued.id))
            return enqueued

    @contextlib.contextmanager
    def processing(job: Job) -> Iterator[None]:
        with tracer.start_as_current_span(
            f"process {job.queue_name}",
            context=extract(job.metadata),
            kind=SpanKind.CONSUMER,
            attributes=_of(job),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except Snooze:
                span.add_event("snoozed")  # is no failure
                raise
            except BaseException as error:
                span.record_exception(error)
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise

    add_middleware(sending)
    add_job_middleware(processing)

    def uninstrument() -> None:
        remove_middleware(sending)
        remove_job_middleware(processing)

    return uninstrument


def _attributes(queue: str, operation: str) -> dict[str, Any]:
    return {
        "messaging.system": "honker",
        "messaging.destination.name": queue,
        "messaging.operation.type": operation,
    }


def _of(job: Job) -> dict[str, Any]:
    known = _attributes(job.queue_name, "process") | {
        "messaging.message.id": str(job.id),
        "messaging.message.body.size": len(job.payload_text.encode()),
        "messaging.client.id": job.worker_id,
        "honker.job.attempt": job.attempts,
        "honker.job.max_attempts": job.max_attempts,
    }
    due_at = job.metadata.get(DUE_AT, "")
    if job.attempts == 1 and due_at.isdecimal():
        known["honker.job.wait_s"] = max(0, _now_ms() - int(due_at)) / 1000
    return known


def _due_at_ms(options: EnqueueOptions) -> int:
    delay, run_at = options.get("delay"), options.get("run_at")
    if delay is not None:
        return _now_ms() + int((delay.total_seconds() if isinstance(delay, timedelta) else delay) * 1000)
    return _now_ms() if run_at is None else moment(run_at, "run_at") * 1000


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
