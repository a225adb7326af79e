package dev.honker;

import java.time.Duration;

/** What to change of a schedule. Begins with nothing, and is changed by its methods. */
public final class ScheduleUpdate {
  private static final int SIZE = Abi.SCHEDULE_UPDATE_SIZE;

  private long fields;
  private String expression;
  private String json;
  private long priority;
  private long expires = Checks.NO_TIME;
  private long maxAttempts = Checks.NO_TIME;

  /** Changes nothing, so far. */
  public ScheduleUpdate() {}

  /**
   * Changes when; the next boundary is then computed from now.
   *
   * @param schedule when
   * @return this
   */
  public ScheduleUpdate schedule(CronSchedule schedule) {
    return expression(Checks.notNull("schedule", schedule).expression());
  }

  /**
   * Changes when; the next boundary is then computed from now.
   *
   * @param expression as {@link CronSchedule#crontab} takes it; looked at when the schedule is
   *     changed
   * @return this
   */
  public ScheduleUpdate expression(String expression) {
    fields |= Abi.UPDATE_EXPRESSION;
    this.expression = Checks.notNull("expression", expression);
    return this;
  }

  /**
   * Changes the payload.
   *
   * @param json text, JSON by convention
   * @return this
   */
  public ScheduleUpdate payload(String json) {
    fields |= Abi.UPDATE_PAYLOAD;
    this.json = Checks.notNull("json", json);
    return this;
  }

  /**
   * Changes the priority.
   *
   * @param priority larger is sooner
   * @return this
   */
  public ScheduleUpdate priority(long priority) {
    fields |= Abi.UPDATE_PRIORITY;
    this.priority = priority;
    return this;
  }

  /**
   * Changes after what time from its boundary a job may not be claimed any more.
   *
   * @param expires whole seconds; null is never
   * @return this
   */
  public ScheduleUpdate expires(Duration expires) {
    fields |= Abi.UPDATE_EXPIRES;
    this.expires =
        expires == null ? Checks.NO_TIME : Checks.secondsOrNull("expires", expires).getSeconds();
    return this;
  }

  /**
   * Changes how often a job may be claimed.
   *
   * @param maxAttempts less than 1 means 1
   * @return this
   */
  public ScheduleUpdate maxAttempts(long maxAttempts) {
    return maxAttempts(Long.valueOf(maxAttempts));
  }

  /**
   * Changes how often a job may be claimed.
   *
   * @param maxAttempts less than 1 means 1; null: what is set for the queue, or else 3
   * @return this
   */
  public ScheduleUpdate maxAttempts(Long maxAttempts) {
    fields |= Abi.UPDATE_MAX_ATTEMPTS;
    this.maxAttempts =
        maxAttempts == null ? Checks.NO_TIME : Checks.number("maxAttempts", maxAttempts);
    return this;
  }

  Struct struct(HonkerLibrary library) {
    Struct struct = Struct.sized(library, SIZE).i64(fields);
    try {
      struct.bytes(expression == null ? null : Checks.utf8("expression", expression));
      struct.bytes(json == null ? null : Checks.utf8("json", json));
    } catch (RuntimeException e) {
      struct.close();
      throw e;
    }
    return struct.i64(priority).i64(expires).i64(maxAttempts);
  }
}
