package dev.honker.spring;

import dev.honker.Database;
import dev.honker.EnqueueOptions;
import dev.honker.EnqueueResult;
import dev.honker.EnqueueSql;
import dev.honker.JobSpec;
import java.sql.Connection;
import java.sql.SQLException;
import javax.sql.DataSource;
import org.springframework.jdbc.datasource.DataSourceUtils;
import org.springframework.transaction.support.TransactionSynchronizationManager;

/**
 * Enqueues payloads. Within a transaction of the context's DataSource the job is part of that
 * transaction, if it is the same file or server: it is there when, and only when, that commits. Any
 * thread may use it.
 */
public class HonkerTemplate {
  private final Database database;
  private final Object dataSource;
  private final PayloadCodecs codecs;
  private final EnqueueOptions defaults;

  /** The DataSource of the same file, or null; the codecs may be null, for texts alone. */
  HonkerTemplate(Database database, Object dataSource, PayloadCodecs codecs, long maxAttempts) {
    this.database = database;
    this.dataSource = dataSource;
    this.codecs = codecs;
    this.defaults = EnqueueOptions.builder().maxAttempts(maxAttempts).build();
  }

  /**
   * Enqueues a job that is due now, with the attempts of {@code honker.max-attempts}.
   *
   * @param queue the name of the queue
   * @param payload its payload; a String is taken for JSON
   * @return the job's id
   */
  public long enqueue(String queue, Object payload) {
    return enqueue(queue, payload, defaults);
  }

  /**
   * Enqueues a job.
   *
   * @param queue the name of the queue
   * @param payload its payload; a String is taken for JSON
   * @param options when it is due, and the like; null for the defaults. Without attempts of their
   *     own, it has those of {@code honker.max-attempts}. Within a transaction of the DataSource of
   *     a SQLite file they have no metadata, no keys, no batch and no time to run
   * @return the job's id
   */
  public long enqueue(String queue, Object payload, EnqueueOptions options) {
    return enqueueWith(queue, payload, options).id();
  }

  /**
   * Enqueues a job, and tells whether it was enqueued: another one may have its unique key.
   *
   * @param queue the name of the queue
   * @param payload its payload; a String is taken for JSON
   * @param options as {@link #enqueue(String, Object, EnqueueOptions)} takes them
   * @return what has become of it
   */
  public EnqueueResult enqueueWith(String queue, Object payload, EnqueueOptions options) {
    JobSpec job = new JobSpec(queue, json(payload), withAttempts(options));
    if (dataSource != null && Jdbc.isInTransaction(dataSource)) {
      return Jdbc.enqueue(dataSource, job);
    }
    return database.enqueueMany(java.util.List.of(job)).get(0);
  }

  private EnqueueOptions withAttempts(EnqueueOptions options) {
    if (options == null) return defaults;
    if (options.maxAttempts() != null) return options;
    return options.toBuilder().maxAttempts(defaults.maxAttempts()).build();
  }

  private String json(Object payload) {
    if (payload instanceof String json) return json;
    if (codecs == null) {
      throw new IllegalStateException("no PayloadCodecs: Jackson is missing, or enqueue a String");
    }
    try {
      return codecs.codec(payload.getClass()).encode(payload);
    } catch (RuntimeException e) {
      throw e;
    } catch (Exception e) {
      throw new IllegalArgumentException("the payload cannot be encoded", e);
    }
  }

  /** Loaded only where spring-jdbc is there. */
  private static final class Jdbc {
    static boolean isInTransaction(Object dataSource) {
      return TransactionSynchronizationManager.isActualTransactionActive()
          && TransactionSynchronizationManager.hasResource(dataSource);
    }

    static EnqueueResult enqueue(Object source, JobSpec job) {
      DataSource dataSource = (DataSource) source;
      Connection connection = DataSourceUtils.getConnection(dataSource);
      try {
        return EnqueueSql.enqueueWith(connection, job);
      } catch (SQLException e) {
        throw new org.springframework.jdbc.UncategorizedSQLException("enqueue", null, e);
      } finally {
        DataSourceUtils.releaseConnection(connection, dataSource);
      }
    }
  }
}
