package dev.honker;

import java.util.Objects;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * The jobs of a file, of all queues and in all states, to look at and to act on. For people and
 * their tools: nobody else needs to look for jobs. Any thread may use it.
 */
public final class Jobs {
  private final Database database;

  Jobs(Database database) {
    this.database = database;
    database.checkOpen();
  }

  /**
   * The jobs that a filter finds, by id, the newest first if the filter does not say otherwise.
   * They are read a page at a time, as the stream is consumed: what happens meanwhile may or may
   * not show.
   *
   * @param filter which
   * @return the jobs; the stream need not be closed
   */
  public Stream<JobInfo> list(JobFilter filter) {
    return Stream.iterate(
            page(filter),
            Objects::nonNull,
            page -> page.cursor() == null ? null : page(after(filter, page.cursor())))
        .flatMap(page -> page.jobs().stream());
  }

  private static JobFilter after(JobFilter filter, long cursor) {
    return filter.toBuilder().cursor(cursor).build();
  }

  /**
   * Some of the jobs that a filter finds: as many as its page size, and fewer if 10,000 were looked
   * at for them.
   *
   * @param filter which
   * @return the jobs, and where the next page begins
   */
  public JobPage page(JobFilter filter) {
    byte[] json = Checks.utf8("filter", Checks.notNull("filter", filter).json());
    Json.Fields page =
        Json.Fields.of(
            database
                .text(
                    (db, out, err) ->
                        database.library.honker_job_list(db, 0, json, json.length, out, err))
                .orElseThrow());
    return new JobPage(page.list("jobs", JobInfo::of), page.number("cursor"));
  }

  /**
   * One job.
   *
   * @param id its id
   * @return the job; empty if there is none, or it is done and not kept
   */
  public Optional<JobInfo> find(long id) {
    return page(JobFilter.builder().minId(id).maxId(id).build()).jobs().stream().findFirst();
  }

  /**
   * Does something to all jobs that a filter finds, at most 1,000 in a transaction, between which
   * others write. Should the process die, it has been done to some.
   *
   * @param filter which
   * @param action what
   * @return how many were changed
   */
  public AppliedJobs apply(JobFilter filter, JobAction action) {
    long changed = 0;
    long conflicts = 0;
    AppliedJobs page = apply(null, filter, action);
    while (true) {
      changed += page.changed();
      conflicts += page.conflicts();
      if (page.cursor() == null) {
        return new AppliedJobs(changed, conflicts, page.left(), null);
      }
      page = apply(null, after(filter, page.cursor()), action);
    }
  }

  /**
   * Does something to some of the jobs that a filter finds, as a part of a transaction: as many as
   * its page size, and at most 1,000 or 8 MB.
   *
   * @param tx the transaction; null for one of its own
   * @param filter which
   * @param action what
   * @return how many were changed, and where to go on
   */
  public AppliedJobs apply(Transaction tx, JobFilter filter, JobAction action) {
    Checks.notNull("filter", filter);
    JobFilter paged = filter.hasPageSize() ? filter : filter.toBuilder().pageSize(1000).build();
    byte[] json = Checks.utf8("filter", paged.json());
    byte[] what = Checks.utf8("action", Checks.notNull("action", action).text());
    Json.Fields answer =
        Json.Fields.of(
            database
                .writeText(
                    tx,
                    (db, txn, out, err) ->
                        database.library.honker_job_apply(
                            db, txn, json, json.length, what, what.length, out, err))
                .orElseThrow());
    return new AppliedJobs(
        answer.number("changed"),
        answer.number("conflicts"),
        answer.number("left"),
        answer.number("cursor"));
  }
}
