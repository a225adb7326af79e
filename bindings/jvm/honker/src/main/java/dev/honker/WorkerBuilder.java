package dev.honker;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BiFunction;
import java.util.function.Function;

/**
 * A worker that is about to be started: which queues it takes jobs from, and what handles them. See
 * {@link Honker#worker} and {@link Database#worker}. One thread uses it.
 */
public final class WorkerBuilder {
  private final Database database;
  private final String path;
  private final OpenOptions open;
  private final WorkerOptions options;
  private final Map<WorkerQueue, Handler<Job>> handlers = new LinkedHashMap<>();
  private BiFunction<Database, String, Queue> homes = Database::queue;
  private Function<Throwable, Settlement> failed;
  private String name;
  private String id;

  /** Either on a database that is open, or by the path of one. */
  WorkerBuilder(Database database, String path, OpenOptions open, WorkerOptions options) {
    this.database = database;
    this.path = path;
    this.open = Checks.notNull("open", open);
    this.options = Checks.notNull("options", options);
    this.failed = Pool.retry(options);
    Checks.utf8("path", path);
  }

  /**
   * Sets who claims; a name that no other worker uses at the same time. Default: something random,
   * another one each time that it is started.
   *
   * @param workerId the worker's id
   * @return this
   */
  public WorkerBuilder id(String workerId) {
    this.id = Checks.name("workerId", workerId);
    return this;
  }

  /**
   * Takes jobs from a queue.
   *
   * @param queue its name
   * @param handler what is called with each job, by several threads if there are several
   * @return this
   */
  public WorkerBuilder handle(String queue, Handler<Job> handler) {
    return handle(WorkerQueue.of(queue, 1), handler);
  }

  /**
   * Takes jobs from a queue.
   *
   * @param queue its name, and how often it is asked first
   * @param handler what is called with each job, by several threads if there are several
   * @return this
   */
  public WorkerBuilder handle(WorkerQueue queue, Handler<Job> handler) {
    Checks.notNull("handler", handler);
    if (handlers.putIfAbsent(Checks.notNull("queue", queue), handler) != null) {
      throw twice(queue);
    }
    return this;
  }

  /**
   * Takes jobs from a queue whose payloads are values. A payload that cannot be decoded is among
   * the dead at once, with the reason.
   *
   * @param queue its name
   * @param codec what decodes the payloads
   * @param handler what is called with each job, by several threads if there are several
   * @param <T> the type of the payloads
   * @return this
   */
  public <T> WorkerBuilder handle(String queue, JsonCodec<T> codec, Handler<TypedJob<T>> handler) {
    return handle(WorkerQueue.of(queue, 1), codec, handler);
  }

  /**
   * Takes jobs from a queue whose payloads are values. A payload that cannot be decoded is among
   * the dead at once, with the reason.
   *
   * @param queue its name, and how often it is asked first
   * @param codec what decodes the payloads
   * @param handler what is called with each job, by several threads if there are several
   * @param <T> the type of the payloads
   * @return this
   */
  public <T> WorkerBuilder handle(
      WorkerQueue queue, JsonCodec<T> codec, Handler<TypedJob<T>> handler) {
    return handle(queue, TypedJob.handler(codec, handler));
  }

  /**
   * Starts it. It goes on while the file is locked, its disk is full, or it is not there yet, which
   * it logs once; when the file is replaced by another one it goes on with that.
   *
   * @return what runs, to be closed; {@link Runner#run} waits for the end of the process
   * @throws HonkerInvalidOptionException if it has no handler, or two for one queue
   */
  public Runner start() {
    Handler<Job> handler = handler();
    return start(queues(), name -> new ThreadLauncher(name, handler));
  }

  /**
   * For tests: handles what is due now on the calling thread, one job after the other, as the
   * worker would, until nothing is due. What handlers throw is not thrown, but makes of their jobs
   * what it would.
   *
   * @return how many jobs it has handled
   */
  public int runDue() {
    if (database == null) throw Checks.invalid("database", "must be open: see Database.worker");
    Handler<Job> handler = handler();
    JobLauncher launcher =
        (job, completion) -> {
          try {
            handler.handle(job);
            job.database().gate.checkNothingLeftOpen();
            completion.done();
          } catch (Throwable e) {
            job.database().gate.rollBackOwn();
            completion.failed(e);
          }
          return () -> {};
        };
    return pool("honker-due", queues(), launcher, workerId()).runDue();
  }

  /** What handles the jobs of all queues. */
  private Handler<Job> handler() {
    if (handlers.isEmpty()) throw Checks.invalid("the worker", "has no handler: call handle(…)");
    Map<String, Handler<Job>> byName = new HashMap<>();
    handlers.forEach((queue, handler) -> byName.put(queue.name(), handler));
    return intercepted(job -> byName.get(job.queue()).handle(job));
  }

  private static HonkerException twice(WorkerQueue queue) {
    return Checks.invalid("queues", "has " + queue.name() + " twice");
  }

  private List<WorkerQueue> queues() {
    return List.copyOf(handlers.keySet());
  }

  /** Another one each time, unless it is given: two workers of one id would take it for one. */
  private String workerId() {
    return id == null ? Database.unique(String.valueOf(ProcessHandle.current().pid())) : id;
  }

  /** The first of the interceptors is the outermost. */
  private Handler<Job> intercepted(Handler<Job> handler) {
    List<JobInterceptor> interceptors = new ArrayList<>(options.interceptors());
    Collections.reverse(interceptors);
    for (JobInterceptor interceptor : interceptors) {
      Handler<Job> inner = handler;
      handler = job -> interceptor.around(job, () -> inner.handle(job));
    }
    return handler;
  }

  /** Begins the names of its threads. */
  WorkerBuilder name(String name) {
    this.name = name;
    return this;
  }

  /** Makes the queues that jobs come from. */
  WorkerBuilder homes(BiFunction<Database, String, Queue> homes) {
    this.homes = homes;
    return this;
  }

  /** How the job of a handler that has failed is settled. */
  WorkerBuilder failed(Function<Throwable, Settlement> failed) {
    this.failed = failed;
    return this;
  }

  /**
   * Starts it with handlers that run somewhere else than on threads of the worker; those given with
   * {@code handle} are not used. Otherwise as {@link #start}.
   *
   * @param queues which, and how often each is asked first; one at least, none of them twice
   * @param launcher starts the handlers, and cancels them
   * @return what runs, to be closed
   */
  public Runner launch(List<WorkerQueue> queues, JobLauncher launcher) {
    Checks.notNull("launcher", launcher);
    if (queues.isEmpty()) throw Checks.invalid("the worker", "has no queue: name one at least");
    if (!options.interceptors().isEmpty()) {
      throw Checks.invalid(
          "interceptors", "are for handlers that have threads (Kotlin: see around)");
    }
    return start(List.copyOf(queues), name -> launcher);
  }

  /** The launcher is made for the name that begins those of its threads. */
  private Runner start(List<WorkerQueue> queues, Function<String, JobLauncher> launcher) {
    String workerId = workerId();
    String called = name == null ? "honker-worker-" + workerId : name;
    return new Runner(called, pool(called, queues, launcher.apply(called), workerId));
  }

  private Pool pool(
      String called, List<WorkerQueue> queues, JobLauncher launcher, String workerId) {
    Set<String> names = new HashSet<>();
    for (WorkerQueue queue : queues) {
      if (!names.add(queue.name())) throw twice(queue);
    }
    if (database != null) database.checkOpen();
    Pool.Source source =
        new Pool.Source() {
          @Override
          public Database database() {
            return database;
          }

          @Override
          public Database open() {
            return new Database(path, open);
          }

          @Override
          public Worker worker(Database on) {
            Map<String, Queue> made = new HashMap<>();
            Function<String, Queue> home =
                it -> made.computeIfAbsent(it, queue -> homes.apply(on, queue));
            return new Worker(on, queues, home, workerId, options);
          }
        };
    return new Pool(called, source, launcher, failed, options);
  }
}
