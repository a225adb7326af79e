package dev.honker;

import java.time.Duration;
import java.time.Instant;

/** When something happens again and again. Immutable; it needs no database. */
public final class CronSchedule {
  private final String expression;

  private CronSchedule(String expression) {
    this.expression = Checks.notNull("expression", expression);
    nextAfterEpochSecond(0);
  }

  /**
   * A cron expression: five fields (minute, hour, day of month, month, day of week), six with
   * seconds in front, a macro such as @daily, or an interval such as "@every 5m";
   * "CRON_TZ=Europe/Berlin " before it sets the time zone, which otherwise is this process's.
   *
   * @param expression the expression
   * @return the schedule
   * @throws HonkerInvalidOptionException if it cannot be parsed, or never comes
   */
  public static CronSchedule crontab(String expression) {
    return new CronSchedule(expression);
  }

  /**
   * An interval.
   *
   * @param interval how long; whole seconds, more than 0
   * @return the schedule
   * @throws HonkerInvalidOptionException if it cannot be used
   */
  public static CronSchedule every(Duration interval) {
    return new CronSchedule("@every " + Checks.seconds("interval", interval).getSeconds() + "s");
  }

  /**
   * The first boundary after an instant.
   *
   * @param from the instant; whole seconds
   * @return the boundary
   */
  public Instant nextAfter(Instant from) {
    return Checks.instant(nextAfterEpochSecond(Checks.instant("from", from).getEpochSecond()));
  }

  /**
   * The first boundary after a second.
   *
   * @param second in Unix time
   * @return the boundary, in Unix time
   */
  public long nextAfterEpochSecond(long second) {
    HonkerLibrary library = LibraryLoader.load(null);
    byte[] text = Checks.utf8("expression", expression);
    long[] out = new long[1];
    long[] err = new long[1];
    Errors.check(library, library.honker_cron_next_after(text, text.length, second, out, err), err);
    return out[0];
  }

  /**
   * The expression.
   *
   * @return as it is stored
   */
  public String expression() {
    return expression;
  }

  @Override
  public String toString() {
    return expression;
  }
}
