package dev.honker;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;

/**
 * Enqueues with a connection of the application's own, from whichever driver or pool: the job is
 * there when, and only when, the connection's transaction commits, which wakes the workers. It
 * needs no {@link Database}, but honker's tables, which {@link Honker#open} makes.
 *
 * <p>What takes SQL and values, such as jOOQ, Hibernate or Exposed, is given {@link #STATEMENT} and
 * {@link #parameters}. The time is that of this process; a job whose options do not say has 3
 * attempts, whatever is set for its queue.
 */
public final class EnqueueSql {
  /** Adds one job, and answers one row: its id. */
  public static final String STATEMENT =
      "INSERT INTO _honker_live"
          + " (queue, payload, priority, run_at, max_attempts, created_at, expires_at)"
          + " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id";

  private static final long DEFAULT_MAX_ATTEMPTS = 3;

  private EnqueueSql() {}

  /**
   * Adds a job, as a part of the connection's transaction.
   *
   * @param connection the connection
   * @param job the job; it has no metadata, no keys, no batch and no time to run, for which there
   *     are no columns
   * @return the job's id
   * @throws SQLException what the driver throws; nothing was enqueued then
   * @throws HonkerException of the name HONKER_UNSUPPORTED if it has one of these
   */
  public static long enqueue(Connection connection, JobSpec job) throws SQLException {
    Object[] parameters = parameters(job);
    try (PreparedStatement statement = connection.prepareStatement(STATEMENT)) {
      for (int i = 0; i < parameters.length; i++) statement.setObject(i + 1, parameters[i]);
      try (ResultSet ids = statement.executeQuery()) {
        if (!ids.next()) throw new SQLException("a trigger has suppressed the job");
        return ids.getLong(1);
      }
    }
  }

  /**
   * The values of {@link #STATEMENT}, in its order.
   *
   * @param job the job; it has no metadata, no keys, no batch and no time to run, for which there
   *     are no columns
   * @return texts, Longs, and null for no expiry
   * @throws HonkerException of the name HONKER_UNSUPPORTED if it has one of these
   */
  public static Object[] parameters(JobSpec job) {
    EnqueueOptions options = job.options();
    if (options.beyondColumns() != null) {
      throw new HonkerException(
          options.beyondColumns() + " has no column: enqueue with a Database",
          HonkerException.Status.UNSUPPORTED);
    }
    Checks.name("queue", job.queue());
    Checks.utf8("json", job.json());
    long now = Instant.now().getEpochSecond();
    List<Object> values = new ArrayList<>();
    values.add(job.queue());
    values.add(job.json());
    values.add(options.priority());
    values.add(options.runAtOr(now));
    values.add(options.maxAttempts() == null ? DEFAULT_MAX_ATTEMPTS : options.maxAttempts());
    values.add(now);
    values.add(options.expires() == null ? null : after(now, options.expires().getSeconds()));
    return values.toArray();
  }

  static long after(long now, long seconds) {
    try {
      return Math.addExact(now, seconds);
    } catch (ArithmeticException e) {
      throw Checks.invalid("the time", "is too far away: " + seconds + " s");
    }
  }
}
