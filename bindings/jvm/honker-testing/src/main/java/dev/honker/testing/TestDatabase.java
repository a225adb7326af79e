package dev.honker.testing;

import dev.honker.Database;
import dev.honker.Honker;
import dev.honker.JsonCodec;
import dev.honker.OpenOptions;
import dev.honker.Row;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.function.Predicate;
import java.util.stream.Stream;

/**
 * A database in a directory of its own, for one test, which is gone when this is closed. Due jobs
 * are handled in the test's thread with {@link dev.honker.WorkerBuilder#runDue}. One thread uses
 * it; what it works on may be used by any.
 */
public final class TestDatabase implements AutoCloseable {
  private final Path directory;
  private final Database database;

  /** Opens it. */
  public TestDatabase() {
    this(OpenOptions.builder().build());
  }

  /**
   * Opens it.
   *
   * @param options how
   */
  public TestDatabase(OpenOptions options) {
    try {
      this.directory = Files.createTempDirectory("honker-test-");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    this.database = Honker.open(path(), options);
  }

  /**
   * The database.
   *
   * @return it, open
   */
  public Database database() {
    return database;
  }

  /**
   * The file.
   *
   * @return its path
   */
  public String path() {
    return directory.resolve("test.db").toString();
  }

  /**
   * What was enqueued, and is not done.
   *
   * @param queue the name of the queue
   * @return the jobs, oldest first
   */
  public List<EnqueuedJob> enqueued(String queue) {
    return jobs("_honker_live", queue);
  }

  /**
   * What has failed for good.
   *
   * @param queue the name of the queue
   * @return the jobs, oldest first
   */
  public List<EnqueuedJob> dead(String queue) {
    return jobs("_honker_dead", queue);
  }

  private List<EnqueuedJob> jobs(String table, String queue) {
    String sql =
        "SELECT " + EnqueuedJob.COLUMNS + " FROM " + table + " WHERE queue = ? ORDER BY id";
    return database.query(sql, List.of(queue)).stream().map(EnqueuedJob::of).toList();
  }

  /**
   * Asserts that a job is in the file.
   *
   * @param queue the name of its queue
   * @param json its payload, to the letter
   * @return the first one
   * @throws AssertionError which lists what there is, if there is none
   */
  public EnqueuedJob assertEnqueued(String queue, String json) {
    return assertEnqueued(queue, job -> job.payloadJson().equals(json), json);
  }

  /**
   * Asserts that a job is in the file.
   *
   * @param queue the name of its queue
   * @param codec what decodes its payload
   * @param value its payload
   * @param <T> the type of its payload
   * @return the first one
   * @throws AssertionError which lists what there is, if there is none
   */
  public <T> EnqueuedJob assertEnqueued(String queue, JsonCodec<T> codec, T value) {
    return assertEnqueued(
        queue,
        job -> {
          try {
            return Objects.equals(codec.decode(job.payloadJson()), value);
          } catch (Exception e) {
            return false; // then it is another one
          }
        },
        String.valueOf(value));
  }

  /**
   * Asserts that a job is in the file.
   *
   * @param queue the name of its queue
   * @param isIt what is looked for
   * @return the first one
   * @throws AssertionError which lists what there is, if there is none
   */
  public EnqueuedJob assertEnqueued(String queue, Predicate<EnqueuedJob> isIt) {
    return assertEnqueued(queue, isIt, "what was looked for");
  }

  private EnqueuedJob assertEnqueued(String queue, Predicate<EnqueuedJob> isIt, String what) {
    List<EnqueuedJob> all = enqueued(queue);
    return all.stream()
        .filter(isIt)
        .findFirst()
        .orElseThrow(
            () -> new AssertionError("queue " + queue + " has no job with " + what + ": " + all));
  }

  /**
   * Asserts that a queue has no job.
   *
   * @param queue its name
   * @throws AssertionError which lists what there is
   */
  public void assertNothingEnqueued(String queue) {
    List<EnqueuedJob> all = enqueued(queue);
    if (!all.isEmpty()) throw new AssertionError("queue " + queue + " has jobs: " + all);
  }

  /**
   * Lets time pass: jobs become due, claims, locks and results lapse, schedules fire, as if the
   * clock had been moved. It is the times in the file that are moved, the other way; the machine's
   * clock stays.
   *
   * @param time how long; whole seconds
   */
  public void advance(Duration time) {
    List<Row> columns =
        database.query(
            "SELECT t.name AS tab, c.name AS col FROM sqlite_schema t, pragma_table_info(t.name) c"
                + " WHERE t.name GLOB '_honker_*' AND t.type = 'table'"
                + " AND (c.name GLOB '*_at' OR c.name IN ('window_start', 'until'))");
    database.transactionVoid(
        tx -> {
          for (Row it : columns) {
            tx.execute(
                "UPDATE \"%s\" SET \"%2$s\" = \"%2$s\" - ?1 WHERE \"%2$s\" IS NOT NULL"
                    .formatted(it.getString("tab"), it.getString("col")),
                List.of(time.getSeconds()));
          }
        });
  }

  /** Closes the database, and deletes the directory. */
  @Override
  public void close() {
    database.close();
    try (Stream<Path> files = Files.walk(directory)) {
      for (Path file : files.sorted(Comparator.reverseOrder()).toList()) Files.delete(file);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
