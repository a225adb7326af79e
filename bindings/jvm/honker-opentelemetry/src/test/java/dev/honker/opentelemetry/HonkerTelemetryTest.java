package dev.honker.opentelemetry;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.honker.Database;
import dev.honker.EnqueueOptions;
import dev.honker.Honker;
import dev.honker.OpenOptions;
import dev.honker.Runner;
import dev.honker.WorkerOptions;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.context.Scope;
import io.opentelemetry.sdk.metrics.data.MetricData;
import io.opentelemetry.sdk.testing.junit5.OpenTelemetryExtension;
import io.opentelemetry.sdk.trace.data.SpanData;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class HonkerTelemetryTest {
  @RegisterExtension static final OpenTelemetryExtension otel = OpenTelemetryExtension.create();

  @TempDir Path directory;

  private static SpanData span(String name) {
    return otel.getSpans().stream()
        .filter(it -> it.getName().equals(name))
        .findFirst()
        .orElseThrow();
  }

  /** The handler runs on another thread; a producer, a consumer, and what the handler makes. */
  @Test
  void aTraceGoesThroughTheQueue() throws Exception {
    HonkerTelemetry telemetry = new HonkerTelemetry(otel.getOpenTelemetry());
    OpenOptions open = OpenOptions.builder().enqueueInterceptor(telemetry).build();
    WorkerOptions options =
        WorkerOptions.builder().interceptor(telemetry).retryDelay(Duration.ofHours(1)).build();
    try (Database db = Honker.open(directory.resolve("app.db"), open)) {
      Span request = otel.getOpenTelemetry().getTracer("test").spanBuilder("request").startSpan();
      long id;
      try (Scope scope = request.makeCurrent()) {
        EnqueueOptions late = EnqueueOptions.builder().delay(Duration.ofSeconds(-100)).build();
        id = db.queue("emails").enqueue("1", late);
        db.queue("emails").enqueueMany(List.of("2", "3"));
      } finally {
        request.end();
      }
      CountDownLatch handled = new CountDownLatch(3);
      try (Runner worker =
          db.worker(options)
              .handle(
                  "emails",
                  job -> {
                    handled.countDown();
                    otel.getOpenTelemetry().getTracer("test").spanBuilder("smtp").startSpan().end();
                    if (job.payloadJson().equals("3")) throw new IllegalStateException("no");
                  })
              .start()) {
        handled.await();
      }
      SpanData send = span("send emails");
      assertEquals(SpanKind.PRODUCER, send.getKind());
      assertEquals(request.getSpanContext().getSpanId(), send.getParentSpanId());
      assertEquals(
          String.valueOf(id),
          send.getAttributes().get(AttributeKey.stringKey("messaging.message.id")));

      List<SpanData> all =
          otel.getSpans().stream().filter(it -> it.getName().equals("process emails")).toList();
      assertEquals(3, all.size());
      SpanData first = all.get(0);
      assertEquals(SpanKind.CONSUMER, first.getKind());
      assertEquals(request.getSpanContext().getTraceId(), first.getTraceId());
      assertEquals(send.getSpanId(), first.getParentSpanId());
      assertEquals(1, first.getAttributes().get(AttributeKey.longKey("honker.job.attempt")));
      Long wait = first.getAttributes().get(AttributeKey.longKey("honker.job.queue_wait_s"));
      assertTrue(wait >= 0 && wait < 60, wait.toString()); // it was created after it was due
      assertEquals(first.getSpanId(), span("smtp").getParentSpanId());
      assertEquals(StatusCode.ERROR, all.get(2).getStatus().getStatusCode());
      assertEquals(1, all.get(2).getEvents().size());
      assertEquals(StatusCode.UNSET, all.get(1).getStatus().getStatusCode());

      List<String> metrics = otel.getMetrics().stream().map(MetricData::getName).toList();
      assertTrue(metrics.contains("messaging.process.duration"), metrics.toString());
      assertTrue(metrics.contains("honker.job.queue_wait"), metrics.toString());
    }
  }
}
