package dev.honker.spring;

import dev.honker.Database;
import dev.honker.Runner;
import dev.honker.WorkerBuilder;
import dev.honker.WorkerOptions;
import java.util.Optional;
import org.springframework.context.SmartLifecycle;

/**
 * The worker that calls the listeners, for as long as the context runs. When the context is closed
 * it takes no further job, and waits for the running ones as {@code honker.worker.stop-timeout}
 * says. Signals are the context's.
 */
public class HonkerWorker implements SmartLifecycle {
  private final Database database;
  private final HonkerListeners listeners;
  private final WorkerOptions options;
  private final boolean isEnabled;
  private volatile Runner runner;

  HonkerWorker(
      Database database, HonkerListeners listeners, WorkerOptions options, boolean isEnabled) {
    this.database = database;
    this.listeners = listeners;
    this.options = options;
    this.isEnabled = isEnabled;
  }

  /**
   * What has ended it.
   *
   * @return the error; empty as long as all is well
   */
  public Optional<Throwable> failure() {
    return Optional.ofNullable(runner).flatMap(Runner::failure);
  }

  @Override
  public void start() {
    if (!isEnabled || listeners.queues().isEmpty() || runner != null) return;
    WorkerBuilder worker = database.worker(options);
    listeners.queues().forEach((name, queue) -> worker.handle(queue, listeners.handler(name)));
    runner = worker.start();
  }

  @Override
  public void stop() {
    Runner it = runner;
    runner = null;
    if (it != null) it.close();
  }

  /** Others of the same phase stop meanwhile. */
  @Override
  public void stop(Runnable callback) {
    Thread stopping =
        new Thread(
            () -> {
              try {
                stop();
              } finally {
                callback.run();
              }
            },
            "honker-stop");
    stopping.start();
  }

  @Override
  public boolean isRunning() {
    return runner != null;
  }
}
