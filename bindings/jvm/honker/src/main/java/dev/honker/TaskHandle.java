package dev.honker;

/** A registered task, to be called. Any thread may use it. */
public final class TaskHandle {
  final String name;
  final Queue queue;

  /** As it was registered. */
  final Object handler;

  final Body body;
  final TaskOptions options;

  /** Runs it with the arguments of a call; its result as JSON, null for none. */
  interface Body {
    String run(TaskEnvelope call) throws Exception;
  }

  TaskHandle(String name, Queue queue, Object handler, Body body, TaskOptions options) {
    this.name = name;
    this.queue = queue;
    this.handler = handler;
    this.body = body;
    this.options = options;
  }

  /**
   * The name.
   *
   * @return as it was registered
   */
  public String name() {
    return name;
  }

  /**
   * Enqueues a call; whoever runs the tasks of the queue does it.
   *
   * @param argsJson a JSON array
   * @param kwargsJson a JSON object
   * @return where its result will be
   * @throws HonkerInvalidOptionException if they are not: nothing is enqueued then
   */
  public TaskResult enqueue(String argsJson, String kwargsJson) {
    return enqueue(argsJson, kwargsJson, EnqueueOptions.builder().build());
  }

  /**
   * Enqueues a call with options of its own.
   *
   * @param argsJson a JSON array
   * @param kwargsJson a JSON object
   * @param options its keys, and the like; how often it may be tried is the task's, and so are the
   *     priority and the expiry if these have none
   * @return where its result will be: that of another call, if that has the unique key, see {@link
   *     TaskResult#outcome}
   * @throws HonkerInvalidOptionException if the arguments are not that: nothing is enqueued then
   */
  public TaskResult enqueue(String argsJson, String kwargsJson, EnqueueOptions options) {
    Checks.notNull("argsJson", argsJson);
    Checks.notNull("kwargsJson", kwargsJson);
    String envelope = TaskEnvelope.write(name, argsJson, kwargsJson);
    EnqueueOptions.Builder all = options.toBuilder().maxAttempts(this.options.retries());
    if (options.priority() == 0) all.priority(this.options.priority());
    if (options.expires() == null) all.expires(this.options.expires());
    EnqueueResult result = queue.enqueueWith(envelope, all.build());
    return new TaskResult(queue, result);
  }
}
