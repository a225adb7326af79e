package dev.honker;

import java.util.List;

/** A registered task, to be called. Any thread may use it. */
public final class TaskHandle {
  final String name;
  final Queue queue;

  /** As it was registered. */
  final Object handler;

  final Body body;
  final TaskOptions options;

  /** Runs it on the parts of an envelope; its result as JSON, null for none. */
  interface Body {
    String run(Row envelope) throws Exception;
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
    Checks.notNull("argsJson", argsJson);
    Checks.notNull("kwargsJson", kwargsJson);
    // SQLite's JSON functions are the only ones that are certain to be here.
    Row row =
        queue
            .database
            .query(
                "SELECT CASE WHEN json_valid(?1) THEN json_type(?1) END AS args,"
                    + " CASE WHEN json_valid(?2) THEN json_type(?2) END AS kwargs,"
                    + " CASE WHEN json_valid(?1) AND json_valid(?2) THEN"
                    + " json_object('__honker_task__',"
                    + " json_object('task', ?3, 'args', json(?1), 'kwargs', json(?2)))"
                    + " END AS envelope",
                List.of(argsJson, kwargsJson, name))
            .get(0);
    if (!"array".equals(row.get("args"))) throw Checks.invalid("argsJson", "is no JSON array");
    if (!"object".equals(row.get("kwargs"))) {
      throw Checks.invalid("kwargsJson", "is no JSON object");
    }
    EnqueueOptions enqueueOptions =
        EnqueueOptions.builder()
            .maxAttempts(options.retries())
            .priority(options.priority())
            .expires(options.expires())
            .build();
    return new TaskResult(queue, queue.enqueue(row.getString("envelope"), enqueueOptions));
  }
}
