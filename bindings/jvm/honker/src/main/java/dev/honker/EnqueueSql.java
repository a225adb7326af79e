package dev.honker;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * Enqueues with a connection of the application's own, from whichever driver or pool, to a SQLite
 * file or a Postgres server: the job is there when, and only when, the connection's transaction
 * commits, which wakes the workers. It needs no {@link Database}, but honker's tables, which {@link
 * Honker#open} makes in a file, and {@code honker migrate} on a server.
 *
 * <p>What takes SQL and values, such as jOOQ, Hibernate or Exposed, is given {@link #STATEMENT} and
 * {@link #parameters}, or on Postgres {@link #POSTGRES_STATEMENT} and {@link #postgresParameters}.
 * The time is that of this process, or of the server; a job whose options do not say has the
 * attempts that are set for its queue.
 */
public final class EnqueueSql {
  /** Adds one job to a SQLite file, and answers one row: its id. */
  public static final String STATEMENT =
      "INSERT INTO _honker_live"
          + " (queue, payload, priority, run_at, max_attempts, created_at, expires_at)"
          + " SELECT queue, payload, priority, run_at, coalesce(max_attempts,"
          + " (SELECT json_extract(settings, '$.max_attempts') FROM _honker_queues"
          + " WHERE name = queue), 3), created_at, expires_at"
          + " FROM (SELECT ? AS queue, ? AS payload, ? AS priority, ? AS run_at,"
          + " ? AS max_attempts, ? AS created_at, ? AS expires_at) WHERE true RETURNING id";

  /** Adds one job on a Postgres server, and answers one row: its id. */
  public static final String POSTGRES_STATEMENT =
      "SELECT honker.honker_enqueue(CAST(? AS text), CAST(? AS text), CAST(? AS bigint),"
          + " CAST(? AS bigint), CAST(? AS bigint), CAST(? AS bigint), CAST(? AS bigint))";

  /** The same with all options, and what has become of it. */
  private static final String POSTGRES_STATEMENT_WITH =
      "SELECT CAST(answer ->> 'id' AS bigint), answer ->> 'status' FROM"
          + " CAST(honker.honker_enqueue_with(CAST(? AS text), CAST(? AS text), CAST(? AS text))"
          + " AS json) AS answer";

  /** The SQLSTATEs that are honker's own, from docs/postgres.md. */
  private static final Map<String, HonkerException.Status> STATES =
      Map.of(
          "HK001", HonkerException.Status.INVALID,
          "HK002", HonkerException.Status.MISUSE,
          "HK003", HonkerException.Status.TOO_OLD,
          "HK004", HonkerException.Status.TOO_BIG,
          "HK005", HonkerException.Status.MOVED);

  private EnqueueSql() {}

  /**
   * Adds a job, as a part of the connection's transaction.
   *
   * @param connection the connection
   * @param job the job; in a SQLite file it has no metadata, no keys, no batch and no time to run,
   *     for which there are no columns
   * @return the job's id, or that of the job that has its unique key
   * @throws SQLException what the driver throws; nothing was enqueued then
   * @throws HonkerException of the name HONKER_UNSUPPORTED if it has one of these, or what honker's
   *     function on the server refuses, with the driver's exception as the cause
   */
  public static long enqueue(Connection connection, JobSpec job) throws SQLException {
    return enqueueWith(connection, job).id();
  }

  /**
   * Adds a job, as a part of the connection's transaction, and tells whether it was enqueued.
   *
   * @param connection the connection
   * @param job the job, as {@link #enqueue} takes it
   * @return what has become of it
   * @throws SQLException as {@link #enqueue} does
   * @throws HonkerException as {@link #enqueue} does
   */
  public static EnqueueResult enqueueWith(Connection connection, JobSpec job) throws SQLException {
    if (!isPostgres(connection)) return enqueueWith(connection, STATEMENT, parameters(job));
    try {
      if (job.options().beyondColumns() == null) {
        return enqueueWith(connection, POSTGRES_STATEMENT, postgresParameters(job));
      }
      Object[] values = {
        Checks.name("queue", job.queue()), job.json(), Json.write(job.options().jsonOfOne())
      };
      Checks.utf8("json", job.json());
      return enqueueWith(connection, POSTGRES_STATEMENT_WITH, values);
    } catch (SQLException e) {
      HonkerException.Status status = STATES.get(String.valueOf(e.getSQLState()));
      if (status == null) throw e;
      HonkerException refused = HonkerException.of(firstLine(e), status);
      refused.initCause(e);
      throw refused;
    }
  }

  /** Without where in the function it was said. */
  private static String firstLine(SQLException e) {
    return String.valueOf(e.getMessage()).lines().findFirst().orElse("");
  }

  private static boolean isPostgres(Connection connection) throws SQLException {
    return "PostgreSQL".equals(connection.getMetaData().getDatabaseProductName());
  }

  private static EnqueueResult enqueueWith(Connection connection, String sql, Object[] parameters)
      throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(sql)) {
      for (int i = 0; i < parameters.length; i++) statement.setObject(i + 1, parameters[i]);
      try (ResultSet row = statement.executeQuery()) {
        if (!row.next()) throw new SQLException("a trigger has suppressed the job");
        String status = row.getMetaData().getColumnCount() == 1 ? "enqueued" : row.getString(2);
        EnqueueResult.Outcome outcome =
            EnqueueResult.Outcome.valueOf(status.toUpperCase(Locale.ROOT));
        return new EnqueueResult(row.getLong(1), outcome);
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

  /**
   * The values of {@link #POSTGRES_STATEMENT}, in its order.
   *
   * @param job the job; it has no metadata, no keys, no batch and no time to run, which only {@link
   *     #enqueue} can give it
   * @return texts, Longs, and null for what is not given
   * @throws HonkerException of the name HONKER_UNSUPPORTED if it has one of these
   */
  public static Object[] postgresParameters(JobSpec job) {
    EnqueueOptions options = job.options();
    if (options.beyondColumns() != null) {
      throw new HonkerException(
          options.beyondColumns() + " is no argument: use EnqueueSql.enqueue",
          HonkerException.Status.UNSUPPORTED);
    }
    Checks.utf8("json", job.json());
    return new Object[] {
      Checks.name("queue", job.queue()),
      job.json(),
      options.runAt() == null ? null : options.runAt().getEpochSecond(),
      options.delay() == null ? null : options.delay().getSeconds(),
      options.priority(),
      options.maxAttempts(),
      options.expires() == null ? null : options.expires().getSeconds()
    };
  }

  static long after(long now, long seconds) {
    try {
      return Math.addExact(now, seconds);
    } catch (ArithmeticException e) {
      throw Checks.invalid("the time", "is too far away: " + seconds + " s");
    }
  }
}
