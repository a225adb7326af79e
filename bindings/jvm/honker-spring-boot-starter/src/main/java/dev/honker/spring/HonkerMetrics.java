package dev.honker.spring;

import dev.honker.Job;
import dev.honker.JobInterceptor;
import io.micrometer.core.instrument.LongTaskTimer;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Tags;
import io.micrometer.core.instrument.Timer;

/**
 * Times what listeners do: the timer {@code honker.jobs} with the tags {@code queue}, {@code
 * outcome} (success, failure) and {@code exception}, and {@code honker.jobs.active}, what runs now.
 */
class HonkerMetrics implements JobInterceptor {
  private final MeterRegistry registry;

  HonkerMetrics(MeterRegistry registry) {
    this.registry = registry;
  }

  @Override
  public void around(Job job, Next next) throws Exception {
    Tags queue = Tags.of("queue", job.queue());
    LongTaskTimer.Sample active =
        LongTaskTimer.builder("honker.jobs.active").tags(queue).register(registry).start();
    Timer.Sample sample = Timer.start(registry);
    String exception = "none";
    try {
      next.run();
    } catch (Throwable e) {
      exception = e.getClass().getSimpleName();
      throw e;
    } finally {
      active.stop();
      String outcome = exception.equals("none") ? "success" : "failure";
      Tags tags = queue.and("outcome", outcome, "exception", exception);
      sample.stop(Timer.builder("honker.jobs").tags(tags).register(registry));
    }
  }
}
