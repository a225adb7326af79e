package dev.honker;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.WeakHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;

/**
 * An open database: the SQLite file, and everything honker has in it. Any number of threads may use
 * it, virtual ones too; what they write at the same moment shares a commit, and reads run beside.
 *
 * <p>What a call has done is committed when it returns. Should the process die in the middle of
 * one, it has happened completely or not at all. Every call throws {@link HonkerException}: a
 * {@link HonkerClosedException} when the database is closed, a {@link HonkerBusyException} when
 * somebody else keeps it busy for longer than the busy timeout, a {@link
 * HonkerInvalidOptionException} when an argument cannot be used.
 */
public final class Database implements AutoCloseable {
  private static final int SQLITE_READONLY = 8;

  final HonkerLibrary library;
  final Dispatcher dispatcher;
  final Gate gate;
  final PlatformThreads platform;
  final Set<AutoCloseable> children =
      Collections.synchronizedSet(Collections.newSetFromMap(new WeakHashMap<>()));
  final OpenOptions options;

  private final Handle handle;
  private final String path;
  private final String warning;
  private final AtomicLong interrupts = new AtomicLong();
  private final AtomicBoolean isClosing = new AtomicBoolean();
  private final CountDownLatch closed = new CountDownLatch(1);
  private volatile Thread closer;
  private volatile boolean isClosed;

  Database(String path, OpenOptions options) {
    byte[] file = Checks.utf8("path", path);
    this.path = path;
    this.options = Checks.notNull("options", options);
    this.library = LibraryLoader.load(options.libraryPath());
    this.dispatcher =
        new Dispatcher(
            library, options.executor() == null ? ForkJoinPool.commonPool() : options.executor());
    this.gate = new Gate(Gate.nanos(options.busyTimeout()));
    this.platform = new PlatformThreads(Gate.nanos(options.busyTimeout()));
    long[] out = new long[1];
    long[] err = new long[1];
    WatcherOptions watcher = options.watcherOptions();
    try (Struct opts =
        Struct.sized(library, Abi.OPEN_OPTS_SIZE)
            .i64(Checks.toMillis(options.busyTimeout()))
            .u32(options.maxReaders())
            .u32(options.durability().ordinal())
            .u32(journalMode(options.journalMode()))
            .u32(options.walAutocheckpoint())
            .u32(Abi.NESTING_WAIT) // threads may be virtual, and the gate knows better
            .u32(0)
            .bytes(Checks.utf8("backend", watcher.backend()))
            .i64(Checks.toMillis(watcher.pollInterval()))) {
      byte[] opening = opts.array();
      int status = platform.call(() -> library.honker_open(file, file.length, opening, out, err));
      Errors.check(library, status, err);
    } catch (Throwable e) {
      platform.close();
      throw e;
    }
    this.warning = err[0] == 0 ? null : Errors.take(library, Abi.UNSUPPORTED, err).getMessage();
    HonkerLibrary lib = library;
    Dispatcher dispatching = dispatcher;
    PlatformThreads calling = platform;
    LibraryLoader.use();
    this.handle =
        new Handle(
            this,
            "the database " + Checks.withoutPassword(path),
            out[0],
            number -> {
              lib.honker_close(number, null);
              dispatching.close();
              calling.close();
              LibraryLoader.release();
            });
  }

  private static int journalMode(String name) {
    int mode = List.of("WAL", "DELETE", "TRUNCATE", "PERSIST").indexOf(name);
    if (mode < 0) {
      throw Checks.invalid("journalMode", "must be WAL, DELETE, TRUNCATE or PERSIST: " + name);
    }
    return mode;
  }

  /**
   * The name of the file, or the URL of the server, with its password.
   *
   * @return as it was given to {@link Honker#open(String)}
   */
  public String path() {
    return path;
  }

  /**
   * What was noticed when the database was opened: that another copy of SQLite in this process has
   * the file open, on a system where that would cost both their locks.
   *
   * @return empty if nothing is wrong
   */
  public Optional<String> warning() {
    return Optional.ofNullable(warning);
  }

  /**
   * A queue. Nothing happens in the file: a queue exists as long as it has jobs.
   *
   * @param name any text
   * @return the queue, with a visibility timeout of 300 s
   */
  public Queue queue(String name) {
    return queue(name, QueueOptions.builder().build());
  }

  /**
   * A queue.
   *
   * @param name any text
   * @param options what holds of its jobs
   * @return the queue
   */
  public Queue queue(String name, QueueOptions options) {
    return new Queue(this, name, options);
  }

  /**
   * Adds jobs to any queues, all or none.
   *
   * @param jobs the jobs
   * @return what has become of each, in their order; the ids of those that were added increase
   */
  public List<EnqueueResult> enqueueMany(List<JobSpec> jobs) {
    return enqueueMany(null, jobs);
  }

  /**
   * Adds jobs to any queues, all or none, as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param jobs the jobs
   * @return what has become of each, in their order; the ids of those that were added increase
   */
  public List<EnqueueResult> enqueueMany(Transaction tx, List<JobSpec> jobs) {
    if (jobs.isEmpty()) return List.of();
    return intercepted(all -> enqueueNow(tx, all)).enqueue(List.copyOf(jobs));
  }

  /** The first of the interceptors is the outermost. */
  private EnqueueInterceptor.Next intercepted(EnqueueInterceptor.Next next) {
    List<EnqueueInterceptor> interceptors = options.enqueueInterceptors();
    for (int i = interceptors.size() - 1; i >= 0; i--) {
      EnqueueInterceptor interceptor = interceptors.get(i);
      EnqueueInterceptor.Next inner = next;
      next = jobs -> interceptor.around(jobs, inner);
    }
    return next;
  }

  private List<EnqueueResult> enqueueNow(Transaction tx, List<JobSpec> jobs) {
    if (jobs.size() == 1) return List.of(enqueueNow(tx, jobs.get(0)));
    int count = jobs.size();
    Struct results = new Struct(library, Abi.ENQUEUE_RESULT_SIZE * count);
    Map<Object, Long> kept = new HashMap<>(); // many jobs have the same queue and options
    List<Struct> options = new ArrayList<>();
    try (Struct specs = new Struct(library, Abi.JOB_SPEC_SIZE * count)) {
      for (JobSpec job : jobs) {
        byte[] queue = Checks.utf8("queue", job.queue());
        long name = kept.computeIfAbsent(job.queue(), it -> specs.keep(queue));
        long opts =
            kept.computeIfAbsent(
                job.options(),
                it -> {
                  options.add(job.options().struct(library));
                  return specs.keep(options.get(options.size() - 1).array());
                });
        specs.u32(Abi.JOB_SPEC_SIZE).u32(0).i64(name).i64(queue.length);
        specs.bytes(Checks.utf8("json", job.json())).i64(opts);
      }
      write(
          tx,
          (db, txn, err) ->
              library.honker_enqueue_many(db, txn, specs.array(), count, results.array(), err));
    } finally {
      options.forEach(Struct::close);
    }
    List<EnqueueResult> all = new ArrayList<>(count);
    for (int i = 0; i < count; i++) {
      all.add(EnqueueResult.of(results.i64(), results.u32()));
      results.u32();
    }
    return all;
  }

  EnqueueResult enqueue(Transaction tx, JobSpec job) {
    if (options.enqueueInterceptors().isEmpty()) return enqueueNow(tx, job);
    return enqueueMany(tx, List.of(job)).get(0);
  }

  private EnqueueResult enqueueNow(Transaction tx, JobSpec job) {
    byte[] queue = Checks.utf8("queue", job.queue());
    byte[] payload = Checks.utf8("json", job.json());
    long[] id = new long[1];
    try (Struct opts = job.options().struct(library)) {
      int status =
          write(
              tx,
              (db, txn, err) ->
                  library.honker_enqueue(
                      db,
                      txn,
                      queue,
                      queue.length,
                      payload,
                      payload.length,
                      opts.array(),
                      id,
                      err));
      return EnqueueResult.of(id[0], status);
    }
  }

  /**
   * What is set for each queue that has settings or jobs.
   *
   * @return the settings by the queues' names, in their order
   */
  public Map<String, QueueSettings> queues() {
    String json = text((db, out, err) -> library.honker_queues(db, 0, out, err)).orElseThrow();
    Map<String, QueueSettings> all = new LinkedHashMap<>();
    for (Object it : (List<?>) Json.parse(json)) {
      Json.Fields fields = new Json.Fields((Map<?, ?>) it);
      all.put(fields.text("queue"), QueueSettings.of(fields));
    }
    return all;
  }

  /**
   * Puts jobs into a batch, which is sealed when the function returns: see {@link
   * #batch(BatchOptions, Batch.Work)}. With no options it is there to be looked at.
   *
   * @param work what enqueues the jobs, with the batch that it is given
   * @param <E> what it throws
   * @return the batch
   * @throws E what it threw: the batch is not sealed
   */
  public <E extends Exception> Batch batch(Batch.Work<E> work) throws E {
    return batch(BatchOptions.builder().build(), work);
  }

  /**
   * Puts jobs into a batch, which is sealed when the function returns: with the last of them it has
   * finished. If the function throws, the batch is not sealed and never finishes, while the jobs
   * that it was given are there all the same; in a transaction neither is.
   *
   * @param options what is enqueued when the last one has ended
   * @param work what enqueues the jobs, with the batch that it is given
   * @param <E> what it throws
   * @return the batch
   * @throws E what it threw: the batch is not sealed
   */
  public <E extends Exception> Batch batch(BatchOptions options, Batch.Work<E> work) throws E {
    return batch(null, options, work);
  }

  /**
   * As {@link #batch(BatchOptions, Batch.Work)}, as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param options what is enqueued when the last one has ended
   * @param work what enqueues the jobs, with the batch that it is given
   * @param <E> what it throws
   * @return the batch
   * @throws E what it threw: the batch is not sealed
   */
  public <E extends Exception> Batch batch(Transaction tx, BatchOptions options, Batch.Work<E> work)
      throws E {
    return Batch.make(this, tx, options, work);
  }

  /**
   * Makes a batch that several functions or processes fill, with {@link
   * EnqueueOptions.Builder#batch(long)}. It waits, however many of its jobs have ended, until one
   * of them calls {@link Batch#seal}.
   *
   * @param options what is enqueued when the last one has ended
   * @return the batch, open
   */
  public Batch createBatch(BatchOptions options) {
    return createBatch(null, options);
  }

  /**
   * As {@link #createBatch(BatchOptions)}, as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param options what is enqueued when the last one has ended
   * @return the batch, open, to be used in the transaction; after that there is {@link
   *     #batch(long)}
   */
  public Batch createBatch(Transaction tx, BatchOptions options) {
    return Batch.create(this, tx, options);
  }

  /**
   * A batch that is there already: to be looked at, filled and sealed.
   *
   * @param id its id
   * @return the batch, which need not exist
   */
  public Batch batch(long id) {
    return batch(null, id);
  }

  /**
   * As {@link #batch(long)}, as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param id its id
   * @return the batch, which need not exist, to be used in the transaction
   */
  public Batch batch(Transaction tx, long id) {
    return new Batch(this, id, tx, null);
  }

  /**
   * The jobs of this file, to look at and to act on.
   *
   * @return the jobs
   */
  public Jobs jobs() {
    return new Jobs(this);
  }

  /**
   * The dead of all queues by what they died of. It reads them all: for people, not for loops.
   *
   * @return the groups, the largest first, at most 1,000
   */
  public List<DeadGroup> deadGroups() {
    return DeadGroup.of(this, null);
  }

  /**
   * How each queue does, for monitoring. It counts all jobs: to be asked every few seconds.
   *
   * @return what is known of each, by name
   */
  public List<QueueMetrics> metrics() {
    String json = text((db, out, err) -> library.honker_metrics(db, 0, out, err)).orElseThrow();
    return Json.Fields.of(json).list("queues", QueueMetrics::of);
  }

  /**
   * A stream of events.
   *
   * @param topic any text
   * @return the stream
   */
  public Stream stream(String topic) {
    return new Stream(this, topic);
  }

  /**
   * The schedules of this file.
   *
   * @return the scheduler
   */
  public Scheduler scheduler() {
    return new Scheduler(this);
  }

  /**
   * An outbox: a queue whose jobs are given to a function.
   *
   * @param name any text; the queue is called "_outbox:" and this
   * @param delivery what delivers a payload, and throws if it cannot
   * @return the outbox, with 60 s for a delivery, 5 attempts, and 5, 10, 20, … s between them
   */
  public Outbox outbox(String name, Outbox.Delivery delivery) {
    return outbox(name, delivery, OutboxOptions.builder().build());
  }

  /**
   * An outbox.
   *
   * @param name any text; the queue is called "_outbox:" and this
   * @param delivery what delivers a payload, and throws if it cannot
   * @param options how often it tries, and when
   * @return the outbox
   */
  public Outbox outbox(String name, Outbox.Delivery delivery, OutboxOptions options) {
    return new Outbox(this, name, delivery, options);
  }

  /**
   * Takes a lock for 60 s.
   *
   * @param name any text
   * @return the lock, to be closed
   * @throws LockHeldException if somebody else has it
   */
  public Lock lock(String name) {
    return lock(name, LockOptions.builder().build());
  }

  /**
   * Takes a lock.
   *
   * @param name any text
   * @param options for how long, and for whom
   * @return the lock, to be closed
   * @throws LockHeldException if somebody else has it
   */
  public Lock lock(String name, LockOptions options) {
    return tryLock(name, options)
        .orElseThrow(() -> new LockHeldException("the lock " + name + " is held by another"));
  }

  /**
   * Takes a lock, if it is free.
   *
   * @param name any text
   * @param options for how long, and for whom; who has the lock already has it still, for no longer
   * @return the lock, to be closed; empty if somebody else has it
   */
  public Optional<Lock> tryLock(String name, LockOptions options) {
    String owner = options.owner() == null ? unique("lock") : options.owner();
    byte[] n = Checks.utf8("name", name);
    byte[] o = Checks.utf8("owner", owner);
    long ttl = options.ttl().getSeconds();
    int status =
        write(
            null,
            (db, txn, err) ->
                library.honker_lock_acquire(db, txn, n, n.length, o, o.length, ttl, err));
    return status == 0 ? Optional.of(new Lock(this, name, owner, options.ttl())) : Optional.empty();
  }

  /**
   * Counts one use of a rate limit, if it is not used up. Windows are aligned to multiples of their
   * length, and shared by all processes.
   *
   * @param name any text
   * @param limit how many uses a window has; more than 0
   * @param per how long a window is; whole seconds, more than 0
   * @return whether it was counted; false means that the limit is used up for now
   */
  public boolean tryRateLimit(String name, long limit, Duration per) {
    byte[] n = Checks.utf8("name", name);
    long seconds = Checks.seconds("per", per).getSeconds();
    return write(
            null,
            (db, txn, err) ->
                library.honker_rate_limit_try(db, txn, n, n.length, limit, seconds, err))
        == 0;
  }

  /**
   * Deletes the counts of old windows, which nobody looks at any more.
   *
   * @param olderThan how long ago they began, at least; whole seconds
   * @return how many were deleted
   */
  public long sweepRateLimits(Duration olderThan) {
    long seconds = Checks.seconds("olderThan", olderThan).getSeconds();
    return writeNumber(
        null, (db, txn, out, err) -> library.honker_rate_limit_sweep(db, txn, seconds, out, err));
  }

  /**
   * Sends a notification to those who listen to a channel when it is committed.
   *
   * @param channel any text
   * @param json the payload: text, JSON by convention
   * @return its id
   */
  public long notify(String channel, String json) {
    return notify(null, channel, json);
  }

  /**
   * Sends a notification as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param channel any text
   * @param json the payload: text, JSON by convention
   * @return its id
   */
  public long notify(Transaction tx, String channel, String json) {
    byte[] c = Checks.utf8("channel", channel);
    byte[] p = Checks.utf8("json", json);
    return writeNumber(
        tx,
        (db, txn, out, err) -> library.honker_notify(db, txn, c, c.length, p, p.length, out, err));
  }

  /**
   * Changes for what time notifications are kept, for every process. Workers and schedulers remove
   * the others within a minute.
   *
   * @param keep whole seconds; null for the default: until {@link #pruneNotifications}
   */
  public void keepNotifications(Duration keep) {
    Long seconds = keep == null ? null : (Long) Checks.seconds("keep", keep).getSeconds();
    byte[] json = Checks.utf8("keep", Json.write(Collections.singletonMap("keep_s", seconds)));
    write(
        null,
        (db, txn, err) -> library.honker_notifications_configure(db, txn, json, json.length, err));
  }

  /**
   * Deletes notifications. They stay in the file until then, unless {@link #keepNotifications} says
   * otherwise.
   *
   * @param options which; none if they name no criterion
   * @return how many were deleted
   */
  public long pruneNotifications(NotificationPruneOptions options) {
    long age = options.olderThan() == null ? Checks.NO_TIME : options.olderThan().getSeconds();
    long keep = options.maxKeep() == null ? Checks.NO_TIME : options.maxKeep();
    return writeNumber(
        null,
        (db, txn, out, err) -> library.honker_notifications_prune(db, txn, age, keep, out, err));
  }

  /**
   * Listens to a channel, to what is sent after this has returned.
   *
   * @param channel any text
   * @return the listener, to be closed
   */
  public Listener listen(String channel) {
    return listen(channel, ListenOptions.builder().build());
  }

  /**
   * Listens to a channel, to what is sent after this has returned.
   *
   * @param channel any text
   * @param options how to wait
   * @return the listener, to be closed
   */
  public Listener listen(String channel, ListenOptions options) {
    return new Listener(this, channel, options);
  }

  /**
   * Has a thread of its own listen to a channel.
   *
   * @param channel any text
   * @param handler what is called with each notification; an exception ends the listening, see
   *     {@link Runner#failed}
   * @return what runs, to be closed
   */
  public Runner listen(String channel, Handler<Notification> handler) {
    return listen(channel, handler, ListenOptions.builder().build());
  }

  /**
   * Has a thread of its own listen to a channel.
   *
   * @param channel any text
   * @param handler what is called with each notification; an exception ends the listening, see
   *     {@link Runner#failed}
   * @param options how to wait
   * @return what runs, to be closed
   */
  public Runner listen(String channel, Handler<Notification> handler, ListenOptions options) {
    Checks.notNull("handler", handler);
    return Runner.each(
        "honker-listen-" + channel, listen(channel, options), Listener::next, handler);
  }

  /**
   * A worker with handlers, on this database. See {@link Honker#worker(String, WorkerOptions)} for
   * one that opens the database itself.
   *
   * @param options how many jobs at a time, and when failed ones are tried again
   * @return the worker, to be given its queues and started
   */
  public WorkerBuilder worker(WorkerOptions options) {
    return new WorkerBuilder(this, path, this.options, options);
  }

  /**
   * What tells that something was committed to the file, by anybody.
   *
   * @return the source, to be closed
   */
  public UpdateEvents updateEvents() {
    return new UpdateEvents(this);
  }

  /**
   * Runs the tasks of a registry, on each queue that it has tasks for.
   *
   * @param registry the tasks
   * @return what runs, to be closed
   */
  public Runner runTasks(TaskRegistry registry) {
    return runTasks(registry, WorkerOptions.builder().build());
  }

  /**
   * Runs the tasks of a registry, on each queue that it has tasks for.
   *
   * @param registry the tasks; it must have one at least
   * @param options how many threads work on each queue, and how they end; when a task is tried
   *     again is for {@link TaskOptions} to say
   * @return what runs, to be closed
   */
  public Runner runTasks(TaskRegistry registry, WorkerOptions options) {
    return registry.run(options);
  }

  /**
   * Begins a transaction. It holds the only writer until it is over, so keep it short.
   *
   * @return the transaction; closing it rolls back, unless it was committed
   * @throws HonkerException with the name HONKER_MISUSE if this thread has one open already
   */
  public Transaction begin() {
    return new Transaction(this);
  }

  /**
   * Runs a function in a transaction, on the calling thread; commits when it returns, and rolls
   * back when it throws.
   *
   * @param work what to do with the transaction
   * @param <T> what it returns
   * @param <E> what it throws
   * @return what it returned
   * @throws E what it threw
   */
  public <T, E extends Exception> T transaction(TransactionWork<T, E> work) throws E {
    Checks.notNull("work", work);
    try (Transaction tx = begin()) {
      T result = work.run(tx);
      tx.commitUnlessOver();
      return result;
    }
  }

  /**
   * Runs a function in a transaction, as {@link #transaction} does, that returns nothing.
   *
   * @param work what to do with the transaction
   * @param <E> what it throws
   * @throws E what it threw
   */
  public <E extends Exception> void transactionVoid(VoidTransactionWork<E> work) throws E {
    Checks.notNull("work", work);
    this.<Void, E>transaction(
        tx -> {
          work.run(tx);
          return null;
        });
  }

  /**
   * What is done in a transaction.
   *
   * @param <T> what it returns
   * @param <E> what it throws
   */
  @FunctionalInterface
  public interface TransactionWork<T, E extends Exception> {
    /**
     * Does it.
     *
     * @param tx the transaction
     * @return a result
     * @throws E anything: the transaction is rolled back
     */
    T run(Transaction tx) throws E;
  }

  /**
   * What is done in a transaction, and returns nothing.
   *
   * @param <E> what it throws
   */
  @FunctionalInterface
  public interface VoidTransactionWork<E extends Exception> {
    /**
     * Does it.
     *
     * @param tx the transaction
     * @throws E anything: the transaction is rolled back
     */
    void run(Transaction tx) throws E;
  }

  /**
   * Runs one statement of SQL that only reads what is committed. One that writes is refused: see
   * {@link Transaction#query(String)} and {@link Transaction#execute(String)}.
   *
   * @param sql the statement; honker's SQL functions are not there
   * @return the rows
   * @throws HonkerSqlException if SQLite refuses it
   */
  public List<Row> query(String sql) {
    return query(sql, List.of());
  }

  /**
   * Runs one statement of SQL that only reads what is committed. One that writes is refused: see
   * {@link Transaction#query(String)} and {@link Transaction#execute(String)}.
   *
   * @param sql the statement; honker's SQL functions are not there
   * @param params the values of ?1, ?2, …: null, Boolean, Number, String or byte[]
   * @return the rows
   * @throws HonkerSqlException if SQLite refuses it
   */
  public List<Row> query(String sql, List<?> params) {
    byte[] s = Checks.utf8("sql", sql);
    long[] out = new long[1];
    try (Struct values = Row.params(library, params)) {
      call(
          (db, err) ->
              library.honker_query(db, s, s.length, values.array(), params.size(), out, err));
    } catch (HonkerSqlException e) {
      // The extended code: its others tell of a file that cannot be read.
      if (e.sqliteExtendedCode() != SQLITE_READONLY) throw e;
      HonkerException clear =
          HonkerException.of(
              "query only reads; write in a transaction: " + e.getMessage(),
              e.status(),
              e.name(),
              e.sqliteCode(),
              e.sqliteExtendedCode());
      clear.initCause(e);
      throw clear;
    }
    return Row.take(this, out[0]);
  }

  /**
   * The state of the database, for people and monitoring. It waits for nobody.
   *
   * @return a JSON object with `file`, `connections`, `versions` and `watcher`; keys may be added
   */
  public String statusJson() {
    return text((db, out, err) -> library.honker_status(db, out, err)).orElseThrow();
  }

  /**
   * Ends every call that is running or waiting on this database now, in whichever thread, with a
   * {@link HonkerException} of the name HONKER_INTERRUPTED. Later calls are not affected.
   */
  public void interrupt() {
    interrupts.incrementAndGet();
    try {
      call(library::honker_interrupt);
    } finally {
      gate.signal();
      dispatcher.raiseAll();
    }
  }

  /**
   * Closes the database: stops what runs on it, after the job in hand, closes what waits, rolls an
   * open transaction back. Calls of other threads end with {@link HonkerClosedException}. When this
   * returns the file is nobody's. Does no harm twice: whoever closes it while it is being closed
   * waits for that.
   *
   * <p>A handler of its own is waited for. Called by one, this returns at once, and the database is
   * closed when the handler has returned and its job is settled.
   *
   * @throws HonkerException if something could not be written; the database is closed all the same
   */
  @Override
  public void close() {
    boolean isWaitedFor = Runner.isHandling(this);
    if (isClosing.compareAndSet(false, true)) {
      if (!isWaitedFor) closeNow();
      else closeLater();
    } else if (!isWaitedFor && Thread.currentThread() != closer) {
      try {
        closed.await();
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
    }
  }

  /** By what has opened it, from its thread. If a handler closes it already, that waits for us. */
  void closeOwn(Runner owner) {
    children.remove(owner);
    if (isClosing.compareAndSet(false, true)) closeNow();
  }

  private void closeLater() {
    Thread thread =
        new Thread(
            () -> {
              try {
                closeNow();
              } catch (Throwable e) {
                Log.error(this + " was closed, and not all was well", e);
              }
            },
            "honker-close");
    try {
      thread.start();
    } catch (Throwable e) {
      isClosing.set(false);
      throw e;
    }
  }

  private void closeNow() {
    closer = Thread.currentThread();
    try {
      closeAll();
    } finally {
      closed.countDown();
    }
  }

  private void closeAll() {
    List<AutoCloseable> open = children();
    List<Runner> runners = new ArrayList<>();
    for (AutoCloseable child : open) {
      if (child instanceof Runner) runners.add((Runner) child);
    }
    runners.forEach(Runner::databaseCloses);
    runners.forEach(Runner::join);
    open.removeAll(runners);
    RuntimeException failure = null;
    for (AutoCloseable child : open) {
      try {
        child.close();
      } catch (RuntimeException e) {
        if (failure == null) failure = e;
      } catch (Exception e) {
        throw new AssertionError(e); // none of them throws such a thing
      }
    }
    isClosed = true;
    long[] err = new long[1];
    int status = platform.close(() -> library.honker_close(handle.number, err));
    handle.close();
    gate.signal();
    try {
      dispatcher.join();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    if (status < 0) throw Errors.take(library, status, err);
    if (failure != null) throw failure;
  }

  /** What is to be closed with this. */
  List<AutoCloseable> children() {
    synchronized (children) {
      return new ArrayList<>(children);
    }
  }

  @Override
  public String toString() {
    return "Database[" + Checks.withoutPassword(path) + "]";
  }

  // What the other classes call the library with.

  /** A call that answers a status. */
  interface Call {
    int call(long db, long[] err);
  }

  /** A call with an output. */
  interface CallOut {
    int call(long db, long[] out, long[] err);
  }

  /** The status, which is no error. */
  int call(Call call) {
    long[] err = new long[1];
    return check(call.call(handle(), err), err);
  }

  /** A call that may write, as a part of a transaction, or of none if `txn` is 0. */
  interface Write {
    int call(long db, long txn, long[] err);
  }

  /** A call that may write, with an output. */
  interface WriteOut {
    int call(long db, long txn, long[] out, long[] err);
  }

  /**
   * The status of a call that may write, which is no error. Without a transaction it waits until
   * none of this database's is open.
   */
  int write(Transaction tx, Write call) {
    if (tx != null) {
      long txn = tx.use(this);
      return call((db, err) -> call.call(db, txn, err));
    }
    gate.pass(this);
    return waiting((db, err) -> call.call(db, 0, err));
  }

  /** The number that a call has put out that may write. */
  long writeNumber(Transaction tx, WriteOut call) {
    long[] out = new long[1];
    write(tx, (db, txn, err) -> call.call(db, txn, out, err));
    return out[0];
  }

  /** The status, which is no error, of a call that may wait for the file's writer. */
  int waiting(Call call) {
    long seen = interrupts();
    return call(
        (db, err) ->
            platform.call(
                () -> {
                  checkOpen();
                  checkNotInterrupted(seen); // it may have waited for a thread
                  return call.call(db, err);
                }));
  }

  /** The number that the call has put out. */
  long number(CallOut call) {
    long[] out = new long[1];
    call((db, err) -> call.call(db, out, err));
    return out[0];
  }

  /** What the call has put out, if there is something: its status is HONKER_OK. */
  Optional<Long> numberIfAny(CallOut call) {
    long[] out = new long[1];
    int status = call((db, err) -> call.call(db, out, err));
    return status == 0 ? Optional.of(out[0]) : Optional.empty();
  }

  /** The text that the call has put out, if there is one. */
  Optional<String> text(CallOut call) {
    return numberIfAny(call).map(this::take);
  }

  /** The text that a call has put out that reads, as a part of a transaction if there is one. */
  Optional<String> text(Transaction tx, WriteOut call) {
    long txn = tx == null ? 0 : tx.use(this);
    return text((db, out, err) -> call.call(db, txn, out, err));
  }

  /** The text that a call has put out that may write, if there is one. */
  Optional<String> writeText(Transaction tx, WriteOut call) {
    long[] out = new long[1];
    int status = write(tx, (db, txn, err) -> call.call(db, txn, out, err));
    return status == 0 ? Optional.of(take(out[0])) : Optional.empty();
  }

  private String take(long text) {
    long[] address = new long[1];
    long[] length = new long[1];
    long[] err = new long[1];
    try {
      check(library.honker_text_get(text, address, length, err), err);
      return new String(library.read(address[0], length[0]), StandardCharsets.UTF_8);
    } finally {
      library.honker_text_free(text);
    }
  }

  /** The status, if it is no error. A warning, an error beside a success, is logged and freed. */
  int check(int status, long[] err) {
    if (status >= 0) {
      if (err[0] != 0) Log.warn(this + ": " + Errors.take(library, status, err).getMessage());
      return status;
    }
    HonkerException error = Errors.take(library, status, err);
    boolean isHandle = status == HonkerException.Status.MISUSE.number;
    throw isHandle && isClosed() ? new HonkerClosedException("the database is closed") : error;
  }

  long handle() {
    checkOpen();
    return handle.number;
  }

  boolean isClosed() {
    return isClosed;
  }

  void checkOpen() {
    if (isClosed) {
      String name = Checks.withoutPassword(path);
      throw new HonkerClosedException("the database " + name + " is closed");
    }
  }

  long interrupts() {
    return interrupts.get();
  }

  void checkNotInterrupted(long seen) {
    if (interrupts.get() == seen) return;
    throw new HonkerException("ended by Database.interrupt()", HonkerException.Status.INTERRUPTED);
  }

  static String unique(String what) {
    return what + "-" + UUID.randomUUID();
  }

  /** How often a consumer looks without having been woken. */
  long fallbackMillis(Duration own) {
    Duration given = options.fallbackPollInterval();
    return Checks.toMillis(given == null || given.compareTo(own) > 0 ? own : given);
  }

  /** Elements of a native list. */
  <T> List<T> list(long length, Function<Long, T> element) {
    List<T> list = new ArrayList<>(Math.toIntExact(length));
    for (long i = 0; i < length; i++) list.add(element.apply(i));
    return list;
  }
}
