package dev.honker;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Functions that are called by name, through jobs: the payload has the name and the arguments, as
 * other languages' packages write and read them. Any thread may use it.
 */
public final class TaskRegistry {
  /** What holds of a job whose task could not even be looked up. */
  private static final TaskOptions UNREGISTERED = TaskOptions.builder().build();

  private final Database database;
  private final Map<String, TaskHandle> tasks = new ConcurrentHashMap<>();

  /**
   * An empty one.
   *
   * @param database where its jobs are
   */
  public TaskRegistry(Database database) {
    this.database = Checks.notNull("database", database);
  }

  /**
   * Registers a task.
   *
   * @param name its name
   * @param queue where its jobs are
   * @param handler what it does
   * @return the task, to be called
   * @throws HonkerInvalidOptionException if there is another of that name
   */
  public TaskHandle register(String name, String queue, TaskHandler handler) {
    return register(name, queue, handler, TaskOptions.builder().build());
  }

  /**
   * Registers a task.
   *
   * @param name its name
   * @param queue where its jobs are
   * @param handler what it does; registering the same one again changes nothing
   * @param options how it is run
   * @return the task, to be called
   * @throws HonkerInvalidOptionException if there is another of that name
   */
  public TaskHandle register(String name, String queue, TaskHandler handler, TaskOptions options) {
    Checks.notNull("handler", handler);
    TaskHandle task = new TaskHandle(name, database.queue(queue), handler, options);
    TaskHandle other = tasks.putIfAbsent(Checks.notNull("name", name), task);
    if (other == null) return task;
    if (other.handler == handler) return other;
    throw Checks.invalid("name", "is a duplicate task name: " + name);
  }

  /**
   * Registers a task whose argument and result are values.
   *
   * @param name its name
   * @param queue where its jobs are
   * @param argument what makes a value of the first of the arguments
   * @param result what makes JSON of the result
   * @param handler what it does
   * @param options how it is run
   * @param <A> the type of the argument
   * @param <R> the type of the result
   * @return the task, to be called with an array of one value
   */
  public <A, R> TaskHandle registerTyped(
      String name,
      String queue,
      JsonCodec<A> argument,
      JsonCodec<R> result,
      TypedTaskHandler<A, R> handler,
      TaskOptions options) {
    return register(
        name,
        queue,
        call -> result.encode(handler.run(argument.decode(first(call.argsJson())))),
        options);
  }

  /**
   * What a task with values does.
   *
   * @param <A> the type of the argument
   * @param <R> the type of the result
   */
  @FunctionalInterface
  public interface TypedTaskHandler<A, R> {
    /**
     * Does it.
     *
     * @param argument the argument
     * @return the result
     * @throws Exception if it could not
     */
    R run(A argument) throws Exception;
  }

  private String first(String argsJson) {
    Object first = database.query("SELECT ?1 -> 0 AS first", List.of(argsJson)).get(0).get(0);
    if (first == null) throw Checks.invalid("args", "are none, and the task has one");
    return (String) first;
  }

  Runner run(TaskWorkerOptions options) {
    if (tasks.isEmpty()) throw Checks.invalid("registry", "has no tasks");
    Map<String, Queue> queues = new LinkedHashMap<>();
    tasks.values().forEach(task -> queues.putIfAbsent(task.queue.name(), task.queue));
    long each = options.concurrency();
    List<WorkerQueue> all =
        queues.keySet().stream().map(name -> new WorkerQueue(name, 1, each)).toList();
    WorkerOptions working =
        WorkerOptions.builder()
            .idle(options.idle())
            .concurrency(Math.multiplyExact(all.size(), options.concurrency()))
            .build();
    String id = "honker-worker-" + ProcessHandle.current().pid() + "-" + Database.unique("tasks");
    return database.runWorker(
        "honker-tasks",
        id,
        all,
        queues::get,
        this::dispatch,
        (job, e) -> failed(job, e, UNREGISTERED),
        working);
  }

  /** Runs the task of a job; how the job is to be settled. */
  private Settlement dispatch(Job job) {
    Row row = Backoff.insist("a task", () -> envelope(job.payloadJson()));
    if (row == null) return Settlement.fail("raw (non-task) payload on a task queue");
    TaskHandle task = tasks.get(row.getString("task"));
    if (task == null) {
      String known = String.join(", ", new TreeMap<>(tasks).keySet());
      return Settlement.fail(
          "unknown task: " + row.get("task") + ". Registered tasks: [" + known + "]");
    }
    String result;
    try {
      result = task.handler.run(new TaskCall(row.getString("args"), row.getString("kwargs")));
      database.gate.checkNothingLeftOpen();
    } catch (Throwable e) {
      database.gate.rollBackOwn();
      Failures.log(System.Logger.Level.WARNING, job + " has failed", e);
      return failed(job, e, task.options);
    }
    if (task.options.storeResult()) save(task, job, result == null ? "null" : result);
    return Settlement.ACK;
  }

  private static Settlement failed(Job job, Throwable e, TaskOptions options) {
    String error = Failures.text(e);
    if (e instanceof RetryableException retryable) {
      return Settlement.retry(retryable.delay().getSeconds(), error);
    }
    if (job.attempts() >= options.retries()) return Settlement.fail(error);
    return Settlement.retry(options.retryDelay().getSeconds(), error);
  }

  /** A task that has succeeded is not tried again because its result could not be saved. */
  private static void save(TaskHandle task, Job job, String result) {
    boolean wasInterrupted = Thread.interrupted();
    try {
      ResultOptions options = ResultOptions.ttl(task.options.resultTtl());
      Backoff.insist(
          "a task's result",
          () -> {
            task.queue.saveResult(job.id(), result, options);
            return true;
          });
    } catch (HonkerException e) {
      Failures.log("the result of " + job + " could not be saved", e);
    } finally {
      if (wasInterrupted) Thread.currentThread().interrupt();
    }
  }

  /** The parts of an envelope; null if the payload is none. */
  private Row envelope(String json) {
    Row row =
        database
            .query(
                "WITH it AS (SELECT CASE WHEN json_valid(?1) THEN ?1 ELSE 'null' END AS json)"
                    + " SELECT json_type(json, '$.__honker_task__.task') AS type,"
                    + " json ->> '$.__honker_task__.task' AS task,"
                    + " coalesce(json -> '$.__honker_task__.args', '[]') AS args,"
                    + " coalesce(json -> '$.__honker_task__.kwargs', '{}') AS kwargs FROM it",
                List.of(json))
            .get(0);
    return "text".equals(row.get("type")) ? row : null;
  }
}
