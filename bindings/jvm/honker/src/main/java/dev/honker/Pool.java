package dev.honker;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

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
  private static final long GRACE_NANOS = TimeUnit.MILLISECONDS.toNanos(1500);

  /** How long the outcomes that are left at the end are given again while the file refuses them. */
  private static final long LAST_NANOS = TimeUnit.SECONDS.toNanos(10);

  /** The distance between tries to launch a handler, at first. */
  private static final long LAUNCH_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

  private static final long LAUNCH_MAX_NANOS = TimeUnit.SECONDS.toNanos(10);

  private final Worker worker;
  private final JobLauncher launcher;
  private final Function<Throwable, Settlement> failed;
  private final long concurrency;
  private final long shutdownNanos;
  private final Map<Long, Execution> inHand = new HashMap<>();
  private final Queue<Execution> finished = new ConcurrentLinkedQueue<>();
  private final List<Worker.Given> settlements = new ArrayList<>();

  /** Since when, and for how long, no job is claimed, because no handler could be launched. */
  private long unlaunchedAt;

  private long launchPauseNanos;

  Pool(
      Worker worker,
      JobLauncher launcher,
      Function<Throwable, Settlement> failed,
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
        giveFinished();
        if (worker.isStopped()) {
          if (shutdown == null) shutdown = new Shutdown();
          shutdown.goOn();
        }
        long pause = launchPauseNanos - (System.nanoTime() - unlaunchedAt);
        boolean claims = shutdown == null && pause <= 0;
        try {
          Worker.Batch batch =
              worker.settleNext(settlements, claims ? Math.max(0, concurrency - inHand.size()) : 0);
          backoff.reset();
          if (batch != null) {
            batch.lost().forEach(this::lost);
            batch.jobs().forEach(this::start);
            continue; // there may be more
          }
          if (shutdown != null && shutdown.isOver()) return;
          long nanos = shutdown != null ? shutdown.nanosLeft() : pause > 0 ? pause : Long.MAX_VALUE;
          worker.signal.await(seen, nanos, worker.database::isClosed);
        } catch (HonkerException e) {
          if (!e.isTransient() || (shutdown != null && shutdown.isLate())) throw e;
          boolean wasStopped = worker.isStopped();
          backoff.pause(e, () -> worker.isStopped() != wasStopped);
        }
        worker.checkOpen();
      }
    } catch (Throwable e) {
      abandon();
      throw e;
    } finally {
      if (launcher instanceof ThreadLauncher threads) threads.close();
    }
  }

  private void giveFinished() {
    for (Execution it = finished.poll(); it != null; it = finished.poll()) give(it);
  }

  /**
   * An error has ended the work: no handler goes on without anybody who prolongs its claim. They
   * are cancelled, and what has ended in time is settled if it can be.
   */
  private void abandon() throws InterruptedException {
    inHand.values().forEach(it -> it.cancel(true));
    long end = System.nanoTime() + GRACE_NANOS;
    while (true) {
      long seen = worker.signal.raised();
      giveFinished();
      long left = end - System.nanoTime();
      if (inHand.isEmpty() || left <= 0) break;
      worker.signal.park(seen, left);
    }
    for (Execution it : inHand.values()) {
      LOG.log(System.Logger.Level.ERROR, it.job + " is left to a handler that does not end");
    }
    try {
      worker.settleNext(settlements, 0);
    } catch (RuntimeException e) {
      for (Worker.Given it : settlements) {
        LOG.log(System.Logger.Level.ERROR, it.job() + " could not be settled: " + e.getMessage());
      }
    }
  }

  private void start(Job job) {
    Execution execution = new Execution(job, this);
    inHand.put(job.serial(), execution);
    try {
      execution.launch(launcher);
      launchPauseNanos = 0;
    } catch (Throwable e) { // no thread could be had, for instance
      Failures.log(System.Logger.Level.WARNING, job + " goes back: it could not be begun", e);
      launchPauseNanos = Math.min(LAUNCH_MAX_NANOS, Math.max(LAUNCH_NANOS, 2 * launchPauseNanos));
      unlaunchedAt = System.nanoTime();
      execution.settle(Settlement.RELEASE);
    }
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
    return failed.apply(error);
  }

  /** How a job whose handler has failed is tried again, unless somebody says otherwise. */
  static Function<Throwable, Settlement> retry(WorkerOptions options) {
    Duration delay = Checks.notNull("options", options).retryDelay();
    return error -> {
      String text = Failures.text(error);
      if (error instanceof DiscardException) return Settlement.fail(text);
      if (error instanceof RetryableException it) {
        return Settlement.retry(it.delay().getSeconds(), text);
      }
      return Settlement.retry(delay == null ? Checks.NO_TIME : delay.getSeconds(), text);
    };
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
        end = System.nanoTime() + GRACE_NANOS;
        inHand.values().forEach(it -> it.cancel(true));
      } else if (!isReleased) {
        isReleased = true;
        end = System.nanoTime() + LAST_NANOS;
        for (Execution it : inHand.values()) {
          LOG.log(
              System.Logger.Level.WARNING, it.job + " is given back; its handler has not ended");
          settlements.add(new Worker.Given(it.job, Settlement.RELEASE));
        }
        inHand.clear();
      }
    }

    boolean isOver() {
      return settlements.isEmpty() && inHand.isEmpty();
    }

    /** Everything was tried: what cannot be written stays claimed until its time is over. */
    boolean isLate() {
      if (!inHand.isEmpty()) return false;
      return end + (isReleased ? 0 : LAST_NANOS) - System.nanoTime() <= 0;
    }

    long nanosLeft() {
      return Math.max(1, end - System.nanoTime());
    }
  }
}
