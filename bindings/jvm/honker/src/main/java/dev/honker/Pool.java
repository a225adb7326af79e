package dev.honker;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.BiFunction;

/**
 * Has the jobs of one native worker handled side by side. One call settles what has finished,
 * prolongs what runs, and claims as many jobs as there are places free; jobs that were lost are
 * cancelled.
 *
 * <p>Invariants: a job has a place from when it is claimed until its handler has ended, however it
 * ends. Each outcome is given to the library until the library has taken it. Nothing that a handler
 * does, and nothing that passes by itself (a locked file, a full disk), ends {@link #run}.
 *
 * <p>Threads: one runs {@link #run}, and it alone touches the jobs in hand. Handlers run where the
 * {@link JobLauncher} puts them.
 */
final class Pool {
  private static final System.Logger LOG = System.getLogger("dev.honker");

  /** How long a handler that was cancelled has to end when the pool closes. */
  private static final long GRACE_MS = 1000;

  private final Worker worker;
  private final JobLauncher launcher;
  private final BiFunction<Job, Throwable, Settlement> failed;
  private final long concurrency;
  private final long shutdownNanos;
  private final Map<Long, Execution> inHand = new HashMap<>();
  private final Queue<Execution> finished = new ConcurrentLinkedQueue<>();
  private final List<Worker.Given> settlements = new ArrayList<>();

  Pool(
      Worker worker,
      JobLauncher launcher,
      BiFunction<Job, Throwable, Settlement> failed,
      WorkerOptions options) {
    this.worker = worker;
    this.launcher = launcher;
    this.failed = failed;
    this.concurrency = options.concurrency();
    this.shutdownNanos = Checks.toNanos(options.shutdownTimeout());
  }

  /** Works until it is told to stop, and what is in hand has ended. */
  void run() throws InterruptedException {
    Backoff backoff = new Backoff(worker.toString());
    Shutdown shutdown = null;
    try {
      while (true) {
        long seen = worker.signal.raised();
        for (Execution it = finished.poll(); it != null; it = finished.poll()) give(it);
        if (worker.isStopped()) {
          if (shutdown == null) shutdown = new Shutdown();
          shutdown.goOn();
        }
        long free = shutdown != null ? 0 : Math.max(0, concurrency - inHand.size());
        Worker.Batch batch;
        try {
          batch = worker.settleNext(settlements, free);
        } catch (HonkerException e) {
          if (!e.isPassing()) throw e;
          if (shutdown != null && shutdown.isLate()) throw e;
          backoff.pause(e);
          continue;
        }
        backoff.reset();
        if (batch != null) {
          batch.lost().forEach(this::lost);
          batch.jobs().forEach(this::start);
          continue; // there may be more
        }
        if (shutdown != null && shutdown.isOver()) return;
        long nanos = shutdown == null ? Long.MAX_VALUE : shutdown.nanosLeft();
        worker.signal.await(seen, nanos, worker.database::isClosed);
        worker.checkOpen();
      }
    } finally {
      if (launcher instanceof ThreadLauncher threads) threads.close();
    }
  }

  private void start(Job job) {
    Execution execution = new Execution(job, this);
    inHand.put(job.serial(), execution);
    execution.launch(launcher);
  }

  private void lost(Worker.Lost lost) {
    Execution execution = inHand.get(lost.serial());
    if (execution == null) return;
    LOG.log(System.Logger.Level.WARNING, execution.job + " is not ours any more: " + lost.reason());
    execution.cancel(false);
  }

  /** The outcome of what has ended is given to the library with the next call. */
  private void give(Execution it) {
    if (inHand.remove(it.job.serial()) == null) return; // it was released when the time was over
    settlements.add(new Worker.Given(it.job, it.outcome()));
  }

  /** From any thread. */
  void finished(Execution execution) {
    finished.add(execution);
    wake();
  }

  void wake() {
    worker.signal.raise();
  }

  Settlement failed(Job job, Throwable error) {
    Failures.log(System.Logger.Level.WARNING, job + " has failed", error);
    return failed.apply(job, error);
  }

  /** How a job whose handler has failed is tried again, unless somebody says otherwise. */
  static BiFunction<Job, Throwable, Settlement> retry(WorkerOptions options) {
    Duration delay = Checks.notNull("options", options).retryDelay();
    return (job, error) ->
        Settlement.retry(
            error instanceof RetryableException retryable
                ? retryable.delay().getSeconds()
                : delay == null ? Checks.NO_TIME : delay.getSeconds(),
            Failures.text(error));
  }

  /** The job whose handler the calling thread runs; null if it runs none of ours. */
  Execution current() {
    return launcher.current() instanceof Execution execution && execution.isOf(this)
        ? execution
        : null;
  }

  /**
   * No job is taken any more: those in hand have their time, are cancelled then, and given back.
   */
  private final class Shutdown {
    private long end = System.nanoTime() + Math.min(shutdownNanos, TimeUnit.DAYS.toNanos(36_500));
    private boolean isCancelled;
    private boolean isReleased;

    void goOn() {
      if (end - System.nanoTime() > 0) return;
      if (!isCancelled) {
        isCancelled = true;
        end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(GRACE_MS);
        inHand.values().forEach(it -> it.cancel(true));
      } else if (!isReleased) {
        isReleased = true;
        for (Execution it : inHand.values()) {
          if (it.isExcused()) continue;
          LOG.log(
              System.Logger.Level.WARNING, it.job + " is given back; its handler has not ended");
          settlements.add(new Worker.Given(it.job, Settlement.RELEASE));
        }
        inHand.values().removeIf(it -> !it.isExcused());
      }
    }

    boolean isOver() {
      return settlements.isEmpty() && inHand.values().stream().allMatch(Execution::isExcused);
    }

    /** Everything was tried: what cannot be written stays claimed until its time is over. */
    boolean isLate() {
      return isReleased || (isCancelled && inHand.isEmpty());
    }

    long nanosLeft() {
      return isReleased ? Long.MAX_VALUE : Math.max(1, end - System.nanoTime());
    }
  }
}
