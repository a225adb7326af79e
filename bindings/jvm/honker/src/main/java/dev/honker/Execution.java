package dev.honker;

/**
 * One job that a {@link Pool} has in hand: it is launched, perhaps cancelled, and has one outcome.
 * Any thread may tell the outcome; the pool's own thread does the rest.
 */
final class Execution implements JobCompletion {
  final Job job;
  private final Pool pool;
  private Runnable cancellation;
  private Settlement outcome;

  Execution(Job job, Pool pool) {
    this.job = job;
    this.pool = pool;
  }

  void launch(JobLauncher launcher) {
    cancellation = launcher.launch(job, this);
  }

  /** Asks the handler to end. Its failure gives the job back then, if it is still ours. */
  void cancel(CancelReason reason) {
    synchronized (this) {
      if (outcome != null || !job.cancel(reason)) return;
    }
    if (cancellation == null) return;
    try {
      cancellation.run();
    } catch (Throwable e) {
      Log.error(job + " could not be cancelled", e);
    }
  }

  @Override
  public void done() {
    settle(Settlement.ACK);
  }

  @Override
  public void failed(Throwable error) {
    synchronized (this) {
      if (outcome != null) return;
    }
    boolean isCancelled = job.cancelled().isPresent();
    settle(isCancelled ? Settlement.RELEASE : pool.failed(job, error));
  }

  void settle(Settlement settlement) {
    synchronized (this) {
      if (outcome != null) return;
      outcome = settlement;
    }
    pool.finished(this);
  }

  boolean isOf(Pool pool) {
    return this.pool == pool;
  }

  Settlement outcome() {
    synchronized (this) {
      return outcome;
    }
  }
}
