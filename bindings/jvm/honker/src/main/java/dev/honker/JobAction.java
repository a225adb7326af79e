package dev.honker;

import java.util.Map;

/** What to do with the jobs that a filter finds. Jobs that it is not for are left alone. */
public final class JobAction {
  /** Makes dead jobs live again: due now, with all their attempts. */
  public static final JobAction RETRY = new JobAction("retry");

  /** Makes delayed jobs due now. */
  public static final JobAction RUN_NOW = new JobAction("run_now");

  /** Removes live jobs; who handles one is told. */
  public static final JobAction CANCEL = new JobAction("cancel");

  /** Removes jobs, dead and done ones too. */
  public static final JobAction DELETE = new JobAction("delete");

  private final String text;

  private JobAction(String text) {
    this.text = text;
  }

  /**
   * Moves waiting and dead jobs to another queue.
   *
   * @param queue its name
   * @return the action
   */
  public static JobAction move(String queue) {
    return new JobAction(Json.write(Map.of("move", Checks.name("queue", queue))));
  }

  /**
   * Gives live jobs another priority.
   *
   * @param priority larger is sooner
   * @return the action
   */
  public static JobAction priority(long priority) {
    return new JobAction(Json.write(Map.of("priority", priority)));
  }

  /** As the library takes it. */
  String text() {
    return text;
  }

  @Override
  public String toString() {
    return "JobAction[" + text + "]";
  }
}
