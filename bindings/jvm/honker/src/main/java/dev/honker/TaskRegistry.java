package dev.honker;

import java.time.Duration;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Functions that are called by name, through jobs: the payload has the name and the arguments, as
 * other languages' packages write and read them. Any thread may use it.
 */
public final class TaskRegistry {
  /** How long a handler's thread waits for a file that others keep locked. */
  private static final Duration LIMIT = Duration.ofMinutes(5);

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
    return register(
        name,
        queue,
        handler,
        call -> handler.run(new TaskCall(call.args(), call.kwargs())),
        options);
  }

  private TaskHandle register(
      String name, String queue, Object handler, TaskHandle.Body body, TaskOptions options) {
    Checks.notNull("handler", handler);
    TaskHandle task = new TaskHandle(name, database.queue(queue), handler, body, options);
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
   * @param argument what makes a value of the first of the arguments; a call without one, or with
   *     one that cannot be decoded, is among the dead at once, with the reason
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
    Checks.notNull("argument", argument);
    Checks.notNull("result", result);
    return register(
        name,
        queue,
        handler,
        call -> {
          if (call.first() == null) {
            throw new DiscardException("args are none, and the task has one");
          }
          return result.encode(handler.run(Codecs.decode(argument, call.first())));
        },
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

  Runner run(WorkerOptions options) {
    if (tasks.isEmpty()) throw Checks.invalid("registry", "has no tasks");
    Set<String> queues = new LinkedHashSet<>();
    tasks.values().forEach(task -> queues.add(task.queue.name()));
    long each = Checks.notNull("options", options).concurrency();
    WorkerOptions working =
        options.toBuilder()
            .concurrency(Math.multiplyExact(queues.size(), options.concurrency()))
            .build();
    WorkerBuilder worker = database.worker(working).name("honker-tasks");
    queues.forEach(queue -> worker.handle(new WorkerQueue(queue, 1, each), this::dispatch));
    return worker.start();
  }

  /** Runs the task of a job. What the task throws is thrown as what becomes of the job. */
  private void dispatch(Job job) {
    Database database = job.database();
    TaskEnvelope call = TaskEnvelope.of(job.payloadJson());
    if (call == null) throw new DiscardException("raw (non-task) payload on a task queue");
    TaskHandle task = tasks.get(call.task());
    if (task == null) {
      String known = String.join(", ", new TreeMap<>(tasks).keySet());
      throw new DiscardException(
          "unknown task: " + call.task() + ". Registered tasks: [" + known + "]");
    }
    String result;
    try {
      result = task.body.run(call);
      database.gate.checkNothingLeftOpen();
    } catch (RetryableException | DiscardException e) {
      throw e;
    } catch (Throwable e) {
      String error = Failures.text(e);
      if (job.attempts() >= task.options.retries()) throw new DiscardException(error, e);
      RetryableException later = new RetryableException(error, task.options.retryDelay());
      later.initCause(e);
      throw later;
    }
    if (task.options.storeResult()) save(task, job, result == null ? "null" : result);
  }

  /** A task that has succeeded is not tried again because its result could not be saved. */
  private static void save(TaskHandle task, Job job, String result) {
    boolean wasInterrupted = Thread.interrupted();
    try {
      ResultOptions options = ResultOptions.ttl(task.options.resultTtl());
      Backoff.insist(
          "a task's result",
          Backoff.after(LIMIT),
          () -> {
            job.database().queue(job.queue()).saveResult(job.id(), result, options);
            return true;
          });
    } catch (HonkerException e) {
      Log.error("the result of " + job + " could not be saved", e);
    } finally {
      if (wasInterrupted) Thread.currentThread().interrupt();
    }
  }
}
