package dev.honker;

import java.util.concurrent.CancellationException;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Runs handlers on daemon threads, as many as there are jobs in hand. A job that is cancelled
 * interrupts its thread, and no other job feels that.
 *
 * <p>Invariants: nothing that a handler throws, or leaves behind, outlives its job: not an
 * interrupt status, not an open transaction.
 */
final class ThreadLauncher implements JobLauncher {
  private static final long KEEP_SECONDS = 60;

  private final Handler<Job> work;
  private final ThreadPoolExecutor threads;

  ThreadLauncher(String name, Handler<Job> work) {
    this.work = work;
    AtomicInteger index = new AtomicInteger();
    this.threads =
        new ThreadPoolExecutor(
            0,
            Integer.MAX_VALUE, // the pool's concurrency is the limit
            KEEP_SECONDS,
            TimeUnit.SECONDS,
            new SynchronousQueue<>(),
            run -> new RunnerThread(run, name + "-" + index.getAndIncrement()));
  }

  @Override
  public Runnable launch(Job job, JobCompletion completion) {
    Run run = new Run(job, (Execution) completion);
    threads.execute(run);
    return run::cancel;
  }

  @Override
  public JobCompletion current() {
    return Thread.currentThread() instanceof RunnerThread thread && thread.launcher == this
        ? thread.execution
        : null;
  }

  /** Threads that are idle end now, others after their handler. */
  void close() {
    threads.shutdown();
  }

  private final class Run implements Runnable {
    private final Job job;
    private final Execution execution;
    private Thread thread;
    private boolean isCancelled;

    Run(Job job, Execution execution) {
      this.job = job;
      this.execution = execution;
    }

    synchronized void cancel() {
      isCancelled = true;
      if (thread != null) thread.interrupt();
    }

    @Override
    public void run() {
      RunnerThread here = (RunnerThread) Thread.currentThread();
      here.launcher = ThreadLauncher.this;
      here.execution = execution;
      Throwable failure = null;
      try {
        synchronized (this) {
          if (isCancelled) throw new CancellationException(job + " was cancelled");
          thread = here;
        }
        work.handle(job);
      } catch (Throwable e) {
        failure = e;
      }
      synchronized (this) {
        thread = null;
      }
      Thread.interrupted();
      here.execution = null;
      try {
        job.database().gate.checkNothingLeftOpen();
      } catch (Throwable e) {
        if (failure == null) failure = e;
      }
      if (failure == null) {
        execution.done();
      } else {
        execution.failed(failure);
      }
    }
  }
}
