"""Spans, in a real SDK."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import honker
import honker.opentelemetry
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    uninstrument = honker.opentelemetry.instrument(provider)
    yield exporter
    uninstrument()


def test_a_span_for_the_enqueue_and_one_for_each_run(
    db: honker.Database, queue: honker.Queue, spans: InMemorySpanExporter
) -> None:
    async def ahandle(job: honker.Job) -> None:
        if job.payload == "snooze":
            raise honker.Snooze(60)
        await asyncio.sleep(0)

    def handle(job: honker.Job) -> None:
        raise ValueError("too bad")

    ids = [queue.enqueue(payload, metadata={"user": "7"}) for payload in ("a", "snooze")]
    assert db.worker("emails", ahandle).run_due() == 2
    ids.append(queue.enqueue("fails", delay=0))
    assert db.worker("emails", handle).run_due() == 1
    found = {
        (span.name, (span.attributes or {}).get("messaging.message.id")): span for span in spans.get_finished_spans()
    }
    assert len(found) == 6
    for id in map(str, ids):
        sent, run = found["send emails", id], found["process emails", id]
        assert (sent.kind, run.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
        assert run.parent is not None and sent.context is not None and run.parent.span_id == sent.context.span_id
        assert _attribute(run, "messaging.system") == "honker" and _attribute(run, "honker.job.attempt") == 1
        wait_s = _attribute(run, "honker.job.wait_s")
        assert isinstance(wait_s, float) and wait_s >= 0
    statuses = [found["process emails", str(id)].status.status_code for id in ids]
    assert statuses == [StatusCode.UNSET, StatusCode.UNSET, StatusCode.ERROR]
    assert [event.name for event in found["process emails", str(ids[1])].events] == ["snoozed"]
    assert [event.name for event in found["process emails", str(ids[2])].events] == ["exception"]


def test_metadata_of_the_users_stays(db: honker.Database, queue: honker.Queue, spans: InMemorySpanExporter) -> None:
    queue.enqueue(1, metadata={"user": "7"})
    job = queue.claim_one("w")
    assert job is not None
    assert set(job.metadata) == {"user", "traceparent", "honker.due_at_ms"} and job.metadata["user"] == "7"


def test_it_is_not_loaded_unless_it_is_asked_for() -> None:
    code = "import sys, honker; assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    subprocess.run([sys.executable, "-c", code], check=True)


def _attribute(span: ReadableSpan, name: str) -> object:
    return (span.attributes or {})[name]
