// Spans as the official SDK of OpenTelemetry records them.
const assert = require("node:assert/strict");
const { createRequire } = require("node:module");
const path = require("node:path");
const { test } = require("node:test");
const { Snooze } = require("../../dist/index.js");
const { traceEnqueues, traceJobs } = require("../../dist/opentelemetry.js");
const { fresh, until } = require("../helper.js");

const adapters = createRequire(path.join(__dirname, "../../../../target/node/adapters/package.json"));

function sdk() {
  try {
    return { api: adapters("@opentelemetry/api"), ...adapters("@opentelemetry/sdk-trace-node") };
  } catch (error) {
    if (error.code !== "MODULE_NOT_FOUND") throw error;
  }
}

test("spans of enqueues and jobs are of one trace", async (t) => {
  const found = sdk();
  if (!found) {
    console.log("SKIPPED OpenTelemetry: it is not installed (scripts/setup drivers)");
    return t.skip();
  }
  const { api, InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } = found;
  const exporter = new InMemorySpanExporter();
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  provider.register();
  const db = fresh();
  traceEnqueues(db, api);
  const q = db.queue("mail");
  const tracer = api.trace.getTracer("test");
  const id = await tracer.startActiveSpan("request", async (span) => {
    try {
      return await q.enqueueAsync("ok", { metadata: { tenant: "acme" } });
    } finally {
      span.end();
    }
  });
  for (const payload of ["bad", "later"]) q.enqueue(payload);
  const within = [];
  const worker = db.worker(
    "mail",
    (job) => {
      within.push(api.trace.getActiveSpan().spanContext().traceId);
      if (job.payload === "bad") throw new Error("refused");
      if (job.payload === "later") throw new Snooze(60);
      assert.equal(job.metadata.tenant, "acme");
    },
    { middleware: [traceJobs(api)], logger: null },
  );
  const running = worker.run({ signals: false });
  const spans = await until(() => {
    const all = exporter.getFinishedSpans();
    return all.length === 7 && all;
  });
  await worker.stop();
  await running;
  const { SpanKind, SpanStatusCode } = api;
  const [request] = spans.filter((span) => span.name === "request");
  const sent = spans.filter((span) => span.name === "send mail");
  const processed = spans.filter((span) => span.name === "process mail");
  assert.deepEqual([sent.length, processed.length], [3, 3]);
  assert.equal(sent[0].kind, SpanKind.PRODUCER);
  assert.equal(sent[0].parentSpanContext.spanId, request.spanContext().spanId);
  assert.equal(sent[0].attributes["messaging.message.id"], String(id));
  sent.forEach((parent, i) => {
    assert.equal(processed[i].kind, SpanKind.CONSUMER);
    assert.equal(processed[i].parentSpanContext.spanId, parent.spanContext().spanId);
    assert.equal(processed[i].spanContext().traceId, parent.spanContext().traceId);
    assert.equal(within[i], parent.spanContext().traceId);
    assert.ok(processed[i].attributes["honker.job.wait_s"] >= 0);
  });
  assert.equal(processed[0].status.code, SpanStatusCode.UNSET);
  assert.equal(processed[1].status.code, SpanStatusCode.ERROR);
  assert.equal(processed[1].events[0].attributes["exception.message"], "refused");
  assert.equal(processed[2].status.code, SpanStatusCode.UNSET);
  assert.equal(processed[2].events[0].name, "snoozed");
  await provider.shutdown();
});
