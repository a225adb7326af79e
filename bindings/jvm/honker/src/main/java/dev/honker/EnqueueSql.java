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
 * {@link #parameters}. The time is that of this process; a job whose options do not say has the
 * attempts that are set for its queue.
 */
public final class EnqueueSql {
  /** Adds one job, and answers one row: its id. */
  public static final String STATEMENT =
      "INSERT INTO _honker_live"
          + " (queue, payload, priority, run_at, max_attempts, created_at, expires_at)"
          + " SELECT queue, payload, priority, run_at, coalesce(max_attempts,"
          + " (SELECT json_extract(settings, '$.max_attempts') FROM _honker_queues"
          + " WHERE name = queue), 3), created_at, expires_at"
          + " FROM (SELECT ? AS queue, ? AS payload, ? AS priority, ? AS run_at,"
          + " ? AS max_attempts, ? AS created_at, ? AS expires_at) WHERE true RETURNING id";

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
   * @return texts, Longs, and null for no expiry and for the attempts that are set for the queue
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
    values.add(options.maxAttempts());
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
