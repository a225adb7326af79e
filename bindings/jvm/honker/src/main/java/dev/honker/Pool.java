package dev.honker;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BiConsumer;
import java.util.function.Function;

/**
 * A worker that has handlers: opens its database if it has none, and anew when the file was
 * replaced; has jobs handled side by side. One call settles what has finished, extends what runs,
 * and claims as many jobs as there are places free; jobs that were lost are cancelled.
 *
 * <p>Invariants: a job has a place from when it is claimed until its handler has ended, however it
 * ends. Each outcome is given to the library until the library has taken it. Nothing that a handler
 * does, and nothing that passes by itself (a locked file, a full disk, no file yet), ends {@link
 * #run}.
 *
 * <p>Threads: one runs {@link #run}, and it alone touches the jobs in hand. Handlers run where the
 * {@link JobLauncher} puts them.
 */
final class Pool implements Runner.Work {
  /** How long the outcomes that are left at the end are given again while the file refuses them. */
  private static final long LAST_NANOS = TimeUnit.SECONDS.toNanos(10);

  /** The distance between tries to launch a handler, at first. */
  private static final long LAUNCH_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

  private static final long LAUNCH_MAX_NANOS = TimeUnit.SECONDS.toNanos(10);

  /** The distance between warnings of that: it may be so for each job of many. */
  private static final long LAUNCH_WARN_NANOS = TimeUnit.MINUTES.toNanos(1);

  /** Where the jobs come from. */
  interface Source {
    /** The database to begin with; null if it has to be opened. */
    Database database();

    Database open();

    Worker worker(Database database);
  }

  private final String name;
  private final Source source;
  private final JobLauncher launcher;
  private final Function<Throwable, Settlement> failed;
  private final WorkerOptions options;
  private final Backoff backoff;

  private final Map<Long, Execution> inHand = new HashMap<>();

  /** Not in hand any more, and not ended either: they keep their places. */
  private final Set<Execution> orphans = new HashSet<>();

  private final Queue<Execution> finished = new ConcurrentLinkedQueue<>();
  private final List<Worker.Given> settlements = new ArrayList<>();
  private Shutdown shutdown;
  private final Outcomes outcomes = new Outcomes();

  /** Since when, and for how long, no job is claimed, because no handler could be launched. */
  private long unlaunchedAt;

  private long launchPauseNanos;
  private long launchWarnedAt;
  private boolean isLaunchWarned;

  private Runner runner;
  private volatile Worker worker;
  private volatile boolean isStopped;
  private volatile boolean isHurried;
  private volatile int left;

  Pool(
      String name,
      Source source,
      JobLauncher launcher,
      Function<Throwable, Settlement> failed,
      WorkerOptions options) {
    this.name = name;
    this.source = source;
    this.launcher = launcher;
    this.failed = failed;
    this.options = options;
    this.backoff = new Backoff(name);
  }

  @Override
  public void begin(Runner runner) {
    this.runner = runner;
    if (source.database() != null) source.database().children.add(runner);
  }

  /** Works until it is told to stop, and what is in hand has ended. */
  @Override
  public void run() throws InterruptedException {
    try {
      Database database = source.database();
      while (database != null || (database = open()) != null) {
        boolean isOwn = database != source.database();
        try {
          if (work(database)) {
            if (!isOwn || runner.isAsked()) return;
            throw new IllegalStateException(
                "a handler has closed the database of its worker, which is not its own to close");
          }
        } finally {
          if (isOwn) database.closeOwn(runner);
        }
        database = null;
      }
    } finally {
      if (launcher instanceof ThreadLauncher threads) threads.close();
      giveFinished();
      left = inHand.size() + orphans.size();
      Log.info("%s has ended: %s, %d running".formatted(name, outcomes, left));
    }
  }

  /** Has what is due now handled by a launcher that does so at once; how many jobs. */
  int runDue() {
    int count = 0;
    try (Worker working = source.worker(source.database())) {
      while (true) {
        Worker.Batch batch = working.settleNext(settlements, 1, outcomes);
        if (batch == null) return count;
        batch.refused().forEach(it -> refused(working, it));
        count += batch.jobs().size();
        batch.jobs().forEach(this::start);
        giveFinished();
      }
    }
  }

  /** The file may not be there yet. Null if this was stopped. */
  private Database open() {
    while (!isStopped) {
      try {
        Database database = source.open();
        database.children.add(runner);
        return database;
      } catch (HonkerException e) {
        if (!e.isTransient()) throw e;
        backoff.pause(e, this::isStopped);
      }
    }
    return null;
  }

  /** Whether it is over, and not the file replaced. */
  private boolean work(Database database) throws InterruptedException {
    try (Worker working = Backoff.insist(name, this::isStopped, () -> source.worker(database))) {
      worker = working;
      try {
        loop(working);
      } catch (Throwable e) {
        if (!isReplaced(e)) abandon(working); // as long as it can settle
        throw e;
      }
      return true;
    } catch (HonkerException e) {
      if (isStopped && e.isTransient() && inHand.isEmpty() && settlements.isEmpty()) return true;
      if (!isReplaced(e)) throw e;
      orphan(inHand.values(), CancelReason.REPLACED);
      settlements.clear();
      backoff.pause(e, this::isStopped);
      return false;
    }
  }

  private static boolean isReplaced(Throwable e) {
    return e instanceof HonkerException error && error.status() == Abi.WATCHER;
  }

  private void loop(Worker worker) throws InterruptedException {
    while (true) {
      long seen = worker.signal.raised();
      giveFinished();
      if (isStopped) {
        if (shutdown == null) shutdown = new Shutdown();
        shutdown.goOn();
      }
      if (shutdown != null && shutdown.isOver()) return;
      long pause = launchPauseNanos - (System.nanoTime() - unlaunchedAt);
      boolean claims = shutdown == null && pause <= 0;
      long free = options.concurrency() - inHand.size() - orphans.size();
      try {
        long n = claims ? Math.max(0, free) : 0;
        Worker.Batch batch = worker.settleNext(settlements, n, outcomes);
        backoff.reset();
        if (batch != null) {
          batch.refused().forEach(it -> refused(worker, it));
          batch.lost().forEach(this::lost);
          batch.jobs().forEach(this::start);
          if (!batch.isAllOf(n)) continue; // there may be more
        }
        if (shutdown != null && shutdown.isOver()) return;
        long nanos = shutdown != null ? shutdown.nanosLeft() : pause > 0 ? pause : Long.MAX_VALUE;
        worker.signal.await(seen, nanos, worker.database::isClosed);
      } catch (HonkerException e) {
        if (!e.isTransient() || (shutdown != null && shutdown.isLate())) throw e;
        Shutdown ending = shutdown;
        backoff.pause(e, () -> ending == null ? isStopped : isHurried && !ending.isReleased);
      } catch (InterruptedException e) {
        // whatever it was for: stop() ends this, and nothing else
      }
      worker.checkOpen();
    }
  }

  private void giveFinished() {
    for (Execution it = finished.poll(); it != null; it = finished.poll()) give(it);
  }

  /** The outcome of what has ended is given to the library with the next call. */
  private void give(Execution it) {
    if (orphans.remove(it) || !inHand.remove(it.job.serial(), it)) return;
    settlements.add(new Worker.Given(it.job, it.outcome()));
  }

  /** They are cancelled, and nothing that becomes of them can be settled any more. */
  private void orphan(Iterable<Execution> executions, CancelReason reason) {
    for (Execution it : executions) {
      it.cancel(reason);
      orphans.add(it);
    }
    inHand.clear();
  }

  /**
   * An error has ended the work: no handler goes on without anybody who extends its claim. They are
   * cancelled, and what has ended in time is settled if it can be.
   */
  private void abandon(Worker worker) throws InterruptedException {
    inHand.values().forEach(it -> it.cancel(CancelReason.STOPPED));
    long end = System.nanoTime() + Checks.toNanos(options.grace());
    while (true) {
      long seen = worker.signal.raised();
      giveFinished();
      long rest = end - System.nanoTime();
      if (inHand.isEmpty() || rest <= 0) break;
      worker.signal.park(seen, rest);
    }
    try {
      if (settlements.isEmpty()) return;
      Worker.Batch batch = worker.settleNext(settlements, 0, outcomes);
      if (batch == null) return;
      for (Worker.Refused it : batch.refused()) {
        Log.error(unsettled(it.given().job(), it.reason()));
      }
    } catch (RuntimeException e) {
      for (Worker.Given it : settlements) {
        Log.error(unsettled(it.job(), e.getMessage()));
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
      execution.settle(Settlement.RELEASE);
      long now = System.nanoTime();
      if (now - unlaunchedAt >= launchPauseNanos) { // otherwise it is the same claim's
        launchPauseNanos = Math.min(LAUNCH_MAX_NANOS, Math.max(LAUNCH_NANOS, 2 * launchPauseNanos));
        unlaunchedAt = now;
      }
      if (isLaunchWarned && now - launchWarnedAt < LAUNCH_WARN_NANOS) return;
      isLaunchWarned = true;
      launchWarnedAt = now;
      Log.warn(job + " goes back, as others may: it could not be begun", e);
    }
  }

  private void lost(Worker.Lost lost) {
    Execution execution = inHand.get(lost.serial());
    if (execution == null) return;
    Log.warn(execution.job + " is not ours any more: " + lost.reason());
    execution.cancel(lost.reason());
    if (lost.reason() == CancelReason.TIMEOUT) {
      String text = execution.job + " ran longer than it may";
      elsewhere(() -> report(execution.job, new TimeoutException(text)));
    }
  }

  /**
   * It is tried again later, with the reason; if that is refused as well, when its claim is over.
   */
  private void refused(Worker worker, Worker.Refused it) {
    Job job = it.given().job();
    if (it.given().settlement().kind() == Abi.SETTLE_RETRY) {
      Log.error(unsettled(job, it.reason()));
      worker.giveUp(job);
    } else {
      Log.error(job + " could not be settled: " + it.reason());
      Settlement retry = Settlement.retry(Checks.NO_TIME, it.reason());
      settlements.add(new Worker.Given(job, retry));
    }
  }

  /** Its claim ends by itself. */
  private static String unsettled(Job job, String reason) {
    String then = job.isLastAttempt() ? "is dead" : "runs again";
    return job + " could not be settled, and " + then + " when its claim is over: " + reason;
  }

  /** From any thread. */
  void finished(Execution execution) {
    finished.add(execution);
    wake();
  }

  private void wake() {
    Worker it = worker;
    if (it != null) it.signal.raise();
  }

  /** Takes no job any more, and ends when those in hand have ended. */
  @Override
  public void stop() {
    isStopped = true;
    wake();
  }

  @Override
  public boolean isStopped() {
    return isStopped;
  }

  /** Does not wait for those in hand either: they are given back. */
  @Override
  public void hurry() {
    isHurried = true;
    stop();
  }

  /** How many handlers had not ended when this had. */
  @Override
  public int left() {
    return left;
  }

  Settlement failed(Job job, Throwable error) {
    Settlement settlement = failed.apply(error);
    Log.warn(job + " has failed; " + next(job, settlement), error);
    report(job, error);
    return settlement;
  }

  /** What calls a reporter must not keep the thread that extends the claims. */
  private void elsewhere(Runnable reporting) {
    if (options.errorReporters().isEmpty()) return;
    try {
      new RunnerThread(reporting, name + "-report").start();
    } catch (Throwable e) {
      Log.error("a failure was not reported: no thread could be had", e);
    }
  }

  private void report(Job job, Throwable error) {
    for (BiConsumer<Job, Throwable> reporter : options.errorReporters()) {
      try {
        reporter.accept(job, error);
      } catch (Throwable e) {
        Log.error("the failure reporter has failed", e);
      }
    }
  }

  /**
   * What becomes of it. The library computes the growing distance, and makes a part of it random.
   */
  private String next(Job job, Settlement settlement) {
    if (Outcomes.of(job, settlement) == Outcomes.Outcome.DEAD) return "dead";
    if (settlement.delaySeconds() != Checks.NO_TIME) {
      return "next try in " + settlement.delaySeconds() + " s";
    }
    double grown = options.retryBase().getSeconds() * Math.pow(2, job.attempts() - 1);
    long about = (long) Math.min(grown, options.retryMax().getSeconds());
    return "next try in about " + about + " s, unless its queue says otherwise";
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

  /** Whether the calling thread runs a handler of this. */
  @Override
  public boolean isHandling() {
    return launcher.current() instanceof Execution execution && execution.isOf(this);
  }

  /**
   * No job is taken any more: those in hand have their time, are cancelled then, and given back.
   */
  private final class Shutdown {
    private long end = after(Checks.toNanos(options.stopTimeout()));
    private boolean isCancelled;
    private boolean isReleased;

    private static long after(long nanos) {
      return System.nanoTime() + Math.min(nanos, TimeUnit.DAYS.toNanos(36_500));
    }

    private boolean isPast() {
      return isHurried || end - System.nanoTime() <= 0;
    }

    void goOn() {
      if (!isCancelled && isPast()) {
        isCancelled = true;
        end = after(Checks.toNanos(options.grace()));
        inHand.values().forEach(it -> it.cancel(CancelReason.STOPPED));
      }
      if (isCancelled && !isReleased && isPast()) {
        isReleased = true;
        end = after(LAST_NANOS);
        for (Execution it : inHand.values()) {
          Log.warn(it.job + " is given back; its handler has not ended");
          settlements.add(new Worker.Given(it.job, Settlement.RELEASE));
        }
        orphan(inHand.values(), CancelReason.STOPPED);
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
