package dev.honker.opentelemetry;

import dev.honker.EnqueueInterceptor;
import dev.honker.EnqueueResult;
import dev.honker.HonkerException;
import dev.honker.Job;
import dev.honker.JobInfo;
import dev.honker.JobInterceptor;
import dev.honker.JobSpec;
import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.metrics.DoubleHistogram;
import io.opentelemetry.api.metrics.Meter;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.Scope;
import io.opentelemetry.context.propagation.TextMapGetter;
import io.opentelemetry.context.propagation.TextMapPropagator;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.TimeUnit;

/**
 * Spans and metrics for what is enqueued and for each job that is handled. The context travels in
 * the metadata of the job, so that its span belongs to the trace of whoever enqueued it.
 *
 * <p>Give one object to {@code OpenOptions.enqueueInterceptor} and to {@code
 * WorkerOptions.interceptor}. Any thread may use it. Handlers that are coroutines have no
 * interceptors.
 */
public final class HonkerTelemetry implements EnqueueInterceptor, JobInterceptor {
  private static final String NAME = "dev.honker";
  private static final AttributeKey<String> SYSTEM = AttributeKey.stringKey("messaging.system");
  private static final AttributeKey<String> OPERATION =
      AttributeKey.stringKey("messaging.operation.name");
  private static final AttributeKey<String> OPERATION_TYPE =
      AttributeKey.stringKey("messaging.operation.type");
  private static final AttributeKey<String> QUEUE =
      AttributeKey.stringKey("messaging.destination.name");
  private static final AttributeKey<String> ID = AttributeKey.stringKey("messaging.message.id");
  private static final AttributeKey<Long> COUNT =
      AttributeKey.longKey("messaging.batch.message_count");
  private static final AttributeKey<Long> ATTEMPT = AttributeKey.longKey("honker.job.attempt");
  private static final AttributeKey<Long> QUEUE_WAIT =
      AttributeKey.longKey("honker.job.queue_wait_s");
  private static final AttributeKey<String> ERROR = AttributeKey.stringKey("error.type");

  private static final TextMapGetter<Map<String, String>> METADATA =
      new TextMapGetter<>() {
        @Override
        public Iterable<String> keys(Map<String, String> metadata) {
          return metadata.keySet();
        }

        @Override
        public String get(Map<String, String> metadata, String key) {
          return metadata == null ? null : metadata.get(key);
        }
      };

  private final Tracer tracer;
  private final TextMapPropagator propagator;
  private final DoubleHistogram duration;
  private final DoubleHistogram queueWait;

  /**
   * Makes one.
   *
   * @param telemetry where spans and metrics go, and how a context is written
   */
  public HonkerTelemetry(OpenTelemetry telemetry) {
    this.tracer = telemetry.getTracer(NAME);
    this.propagator = telemetry.getPropagators().getTextMapPropagator();
    Meter meter = telemetry.getMeter(NAME);
    this.duration =
        meter
            .histogramBuilder("messaging.process.duration")
            .setUnit("s")
            .setDescription("How long handlers took")
            .build();
    this.queueWait =
        meter
            .histogramBuilder("honker.job.queue_wait")
            .setUnit("s")
            .setDescription("How long jobs were due before they were handled, in whole seconds")
            .build();
  }

  @Override
  public List<EnqueueResult> around(List<JobSpec> jobs, EnqueueInterceptor.Next next) {
    List<String> queues = jobs.stream().map(JobSpec::queue).distinct().toList();
    String queue = queues.size() == 1 ? queues.get(0) : "(several queues)";
    Span span = span("send", queue, SpanKind.PRODUCER, Context.current());
    if (jobs.size() > 1) span.setAttribute(COUNT, jobs.size());
    try (Scope scope = span.makeCurrent()) {
      Map<String, String> carrier = new HashMap<>();
      propagator.inject(Context.current(), carrier, Map::put);
      List<EnqueueResult> results =
          next.enqueue(jobs.stream().map(job -> job.withMetadata(carrier)).toList());
      if (results.size() == 1) span.setAttribute(ID, String.valueOf(results.get(0).id()));
      return results;
    } catch (Throwable e) {
      failed(span, e);
      throw e;
    } finally {
      span.end();
    }
  }

  @Override
  public void around(Job job, JobInterceptor.Next next) throws Exception {
    Context sender = propagator.extract(Context.current(), job.metadata(), METADATA);
    Span span = span("process", job.queue(), SpanKind.CONSUMER, sender);
    span.setAttribute(ID, String.valueOf(job.id())).setAttribute(ATTEMPT, job.attempts());
    Attributes attributes = Attributes.of(SYSTEM, "honker", QUEUE, job.queue());
    OptionalLong wait = queueWaitSeconds(job);
    if (wait.isPresent()) {
      span.setAttribute(QUEUE_WAIT, wait.getAsLong());
      queueWait.record(wait.getAsLong(), attributes);
    }
    long begin = System.nanoTime();
    try (Scope scope = span.makeCurrent()) {
      next.run();
    } catch (Throwable e) {
      failed(span, e);
      attributes = attributes.toBuilder().put(ERROR, e.getClass().getName()).build();
      throw e;
    } finally {
      span.end();
      duration.record(
          (System.nanoTime() - begin) / (double) TimeUnit.SECONDS.toNanos(1), attributes);
    }
  }

  private Span span(String operation, String queue, SpanKind kind, Context parent) {
    return tracer
        .spanBuilder(operation + " " + queue)
        .setParent(parent)
        .setSpanKind(kind)
        .setAttribute(SYSTEM, "honker")
        .setAttribute(OPERATION, operation)
        .setAttribute(OPERATION_TYPE, operation)
        .setAttribute(QUEUE, queue)
        .startSpan();
  }

  private static void failed(Span span, Throwable e) {
    span.recordException(e);
    span.setAttribute(ERROR, e.getClass().getName());
    span.setStatus(StatusCode.ERROR);
  }

  /** Since when it was due, as the file knows it; nothing if somebody has settled it meanwhile. */
  private static OptionalLong queueWaitSeconds(Job job) {
    try {
      Optional<JobInfo> found = job.database().jobs().find(job.id());
      if (found.isEmpty()) return OptionalLong.empty();
      long due =
          Math.max(found.get().runAt().getEpochSecond(), found.get().createdAt().getEpochSecond());
      return OptionalLong.of(Math.max(0, Instant.now().getEpochSecond() - due));
    } catch (HonkerException e) {
      return OptionalLong.empty(); // the job does not fail for it
    }
  }
}
