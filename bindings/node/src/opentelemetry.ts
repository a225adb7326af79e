// OpenTelemetry for honker, on @opentelemetry/api, which the application has. A span for what enqueues a job and one for each
// time it is handled, which is a child of the former, in whichever process. The trace context travels in the job's metadata.
// Names are those of the semantic conventions for messaging.
import type { Database } from "./database.js";
import type { EnqueueCall } from "./enqueue.js";
import { Snooze } from "./outcome.js";
import type { Middleware, WorkerJob } from "./worker.js";

interface Span {
  setAttribute(name: string, value: string | number): unknown;
  setStatus(status: { code: number; message?: string }): unknown;
  recordException(error: Error): void;
  addEvent(name: string): unknown;
  end(): void;
}

/** What is used of `@opentelemetry/api`. */
export interface OpenTelemetryApi {
  trace: {
    getTracer(name: string): {
      startActiveSpan<T>(name: string, options: object, context: unknown, run: (span: never) => T): T;
    };
  };
  // biome-ignore lint/suspicious/noExplicitAny: the application's version of the API has the types
  context: { active(): any };
  propagation: {
    // biome-ignore lint/suspicious/noExplicitAny: as above
    inject(context: any, carrier: Record<string, string>): void;
    // biome-ignore lint/suspicious/noExplicitAny: as above
    extract(context: any, carrier: Record<string, string>): any;
  };
}

const dueAt = "honker.due_at_ms";
const producer = 3;
const consumer = 4;
const failed = 2;

function attributes(queue: string, operation: string): Record<string, string | number> {
  return {
    "messaging.system": "honker",
    "messaging.destination.name": queue,
    "messaging.operation.type": operation,
  };
}

function dueAtMs({ options }: EnqueueCall): number {
  if (options.delay !== undefined && options.delay !== null) return Date.now() + options.delay * 1000;
  if (options.runAt instanceof Date) return options.runAt.getTime();
  return typeof options.runAt === "number" ? options.runAt * 1000 : Date.now();
}

function fail(span: Span, error: unknown): never {
  if (error instanceof Snooze) span.addEvent("snoozed");
  else {
    span.recordException(error instanceof Error ? error : new Error(String(error)));
    span.setStatus({ code: failed, message: String(error) });
  }
  span.end();
  throw error;
}

function within<T>(span: Span, run: () => T, done: (value: unknown) => void): T {
  const end = (value: unknown): void => {
    done(value);
    span.end();
  };
  let result: T;
  try {
    result = run();
  } catch (error) {
    fail(span, error);
  }
  if (!(result instanceof Promise)) {
    end(result);
    return result;
  }
  return result.then(
    (value) => {
      end(value);
      return value;
    },
    (error) => fail(span, error),
  ) as T;
}

/** Makes a span of each enqueue of a database, and puts the trace context into the job's metadata. */
export function traceEnqueues(db: Database, api: OpenTelemetryApi): void {
  const tracer = api.trace.getTracer("honker");
  db.aroundEnqueue((call, next) => {
    const options = { kind: producer, attributes: attributes(call.queue, "send") };
    return tracer.startActiveSpan(`send ${call.queue}`, options, api.context.active(), (span: Span) => {
      const metadata = { ...call.options.metadata, [dueAt]: String(dueAtMs(call)) };
      api.propagation.inject(api.context.active(), metadata);
      call.options.metadata = metadata;
      return within(span, next, (value) => {
        const id = Array.isArray(value) ? value[0] : value;
        if (typeof id === "number") span.setAttribute("messaging.message.id", String(id));
      });
    });
  });
}

/** Middleware of a worker that makes a span of each job, the child of the one that enqueued it. */
export function traceJobs(api: OpenTelemetryApi): Middleware {
  const tracer = api.trace.getTracer("honker");
  return (job: WorkerJob, next) => {
    const { metadata } = job;
    const parent = api.propagation.extract(api.context.active(), metadata);
    const known: Record<string, string | number> = {
      ...attributes(job.queue, "process"),
      "messaging.message.id": String(job.id),
      "messaging.message.body.size": Buffer.byteLength(job.payloadText),
      "messaging.client.id": job.workerId,
      "honker.job.attempt": job.attempts,
      "honker.job.max_attempts": job.maxAttempts,
    };
    const due = Number(metadata[dueAt]);
    if (due > 0 && job.attempts === 1) known["honker.job.wait_s"] = Math.max(0, Date.now() - due) / 1000;
    const options = { kind: consumer, attributes: known };
    return tracer.startActiveSpan(`process ${job.queue}`, options, parent, (span: Span) =>
      within(
        span,
        async () => next(),
        () => {},
      ),
    );
  };
}
