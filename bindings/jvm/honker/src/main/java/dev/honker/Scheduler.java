package dev.honker;

import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * The schedules of a file, which are in the file: every process sees and may change them. At each
 * boundary of a schedule a job is enqueued, once, however many processes run a scheduler. Any
 * thread may use it.
 */
public final class Scheduler {
  private final Database database;
  private final HonkerLibrary library;

  Scheduler(Database database) {
    this.database = database;
    this.library = database.library;
    database.checkOpen();
  }

  /**
   * Adds a schedule, or replaces the one of that name: see {@link #add(String, String,
   * CronSchedule, String, ScheduleOptions)}.
   *
   * @param name any text
   * @param queue where its jobs go
   * @param schedule when
   * @param json their payload: text, JSON by convention
   */
  public void add(String name, String queue, CronSchedule schedule, String json) {
    add(name, queue, schedule, json, ScheduleOptions.builder().build());
  }

  /**
   * Adds a schedule, or replaces the one of that name. The next boundary of one that is added again
   * stays if the expression is the same, and a paused one stays paused: applications add their
   * schedules whenever they start.
   *
   * @param name any text
   * @param queue where its jobs go
   * @param schedule when
   * @param json their payload: text, JSON by convention
   * @param options how they are enqueued
   */
  public void add(
      String name, String queue, CronSchedule schedule, String json, ScheduleOptions options) {
    byte[] n = Checks.utf8("name", name);
    byte[] q = Checks.utf8("queue", queue);
    byte[] when = Checks.utf8("schedule", Checks.notNull("schedule", schedule).expression());
    byte[] payload = Checks.utf8("json", json);
    long expires = options.expires() == null ? Checks.NO_TIME : options.expires().getSeconds();
    try (Struct job = options.job() == null ? null : options.job().struct(library);
        Struct opts = Struct.sized(library, Abi.SCHEDULE_OPTS_SIZE)) {
      opts.i64(options.priority()).i64(expires);
      opts.i64(options.maxAttempts() == null ? Checks.NO_TIME : options.maxAttempts());
      opts.i64(job == null ? 0 : opts.keep(job.array())).u32(options.overlap().ordinal()).u32(0);
      database.write(
          null,
          (db, txn, err) ->
              library.honker_scheduler_register(
                  db,
                  txn,
                  n,
                  n.length,
                  q,
                  q.length,
                  when,
                  when.length,
                  payload,
                  payload.length,
                  opts.array(),
                  err));
    }
  }

  /**
   * Removes a schedule; jobs it has enqueued stay.
   *
   * @param name the schedule
   * @return whether there was one of that name
   */
  public boolean remove(String name) {
    byte[] n = Checks.utf8("name", name);
    return changed(
        (db, txn, err) -> library.honker_scheduler_unregister(db, txn, n, n.length, err));
  }

  /**
   * Pauses a schedule.
   *
   * @param name the schedule
   * @return false if there is none of that name, or it is paused already
   */
  public boolean pause(String name) {
    byte[] n = Checks.utf8("name", name);
    return changed((db, txn, err) -> library.honker_scheduler_pause(db, txn, n, n.length, err));
  }

  /**
   * Resumes a paused schedule; boundaries it missed are fired, 64 at most.
   *
   * @param name the schedule
   * @return false if there is none of that name, or it is not paused
   */
  public boolean resume(String name) {
    byte[] n = Checks.utf8("name", name);
    return changed((db, txn, err) -> library.honker_scheduler_resume(db, txn, n, n.length, err));
  }

  /**
   * Changes parts of a schedule.
   *
   * @param name the schedule
   * @param update what to change
   * @return false if there is none of that name, or nothing to change
   */
  public boolean update(String name, ScheduleUpdate update) {
    byte[] n = Checks.utf8("name", name);
    try (Struct changes = Checks.notNull("update", update).struct(library)) {
      return changed(
          (db, txn, err) ->
              library.honker_scheduler_update(db, txn, n, n.length, changes.array(), err));
    }
  }

  private boolean changed(Database.Write call) {
    return database.write(null, call) == 0;
  }

  /**
   * All schedules by name.
   *
   * @return a JSON array of objects with the keys name, queue, cron_expr, payload (a string),
   *     priority, expires_s, next_fire_at, enabled and max_attempts
   */
  public String listJson() {
    return database
        .text((db, out, err) -> library.honker_scheduler_list(db, 0, out, err))
        .orElseThrow();
  }

  /**
   * Enqueues what is due. For those who would rather be called than run: any number of processes
   * may.
   *
   * @return what was fired
   */
  public List<Fire> tick() {
    return tickUntil(Checks.NO_TIME);
  }

  /**
   * Enqueues what is due by some instant.
   *
   * @param until the instant; whole seconds
   * @return how many boundaries have come, those that have enqueued nothing too
   */
  public int tick(Instant until) {
    return ticked(until).size();
  }

  /**
   * Enqueues what is due by some instant.
   *
   * @param until the instant; whole seconds
   * @return what was fired
   */
  public List<Fire> ticked(Instant until) {
    return tickedEpochSecond(Checks.instant("until", until).getEpochSecond());
  }

  /**
   * Enqueues what is due by some second.
   *
   * @param until in Unix time
   * @return what was fired
   */
  public List<Fire> tickedEpochSecond(long until) {
    return tickUntil(Checks.number("until", until));
  }

  private List<Fire> tickUntil(long second) {
    long[] out = new long[1];
    int status =
        database.write(
            null, (db, txn, err) -> library.honker_scheduler_tick(db, txn, second, out, err));
    return status == 0 ? take(out[0]) : List.of();
  }

  private List<Fire> take(long fires) {
    try {
      long[] length = new long[1];
      long[] err = new long[1];
      Errors.check(library, library.honker_fires_len(fires, length, err), err);
      return database.list(
          length[0],
          i -> {
            Struct view = Struct.sized(library, Fire.VIEW_SIZE);
            Errors.check(library, library.honker_fires_get(fires, i, view.array(), err), err);
            return Fire.of(view);
          });
    } finally {
      library.honker_fires_free(fires);
    }
  }

  /**
   * The next boundary of any schedule that is not paused.
   *
   * @return the boundary, which may lie in the past; empty if there is none
   */
  public Optional<Instant> soonest() {
    return soonestEpochSecond().map(Checks::instant);
  }

  /**
   * As {@link #soonest}, in Unix seconds.
   *
   * @return the second, which may lie in the past; empty if there is none
   */
  public Optional<Long> soonestEpochSecond() {
    return database.numberIfAny(
        (db, out, err) -> library.honker_scheduler_soonest(db, 0, out, err));
  }

  /**
   * Fires what is due, on a thread of its own.
   *
   * @return what runs, to be closed
   */
  public Runner run() {
    return run(SchedulerOptions.builder().build());
  }

  /**
   * Fires what is due, on a thread of its own. Every process may run one: one leads, the others
   * stand by, and take over when it is closed, or within a minute after it died.
   *
   * @param options who it is
   * @return what runs, to be closed
   */
  public Runner run(SchedulerOptions options) {
    String owner = options.owner() == null ? Database.unique("scheduler") : options.owner();
    return Runner.each("honker-scheduler", new Leader(owner), Leader::next, fires -> {});
  }

  /** One of those who may fire. */
  private final class Leader extends Consumer {
    Leader(String owner) {
      super(
          Scheduler.this.database,
          "the scheduler " + owner,
          (library, waiter, token, out, err) -> {
            byte[] name = Checks.utf8("owner", owner);
            return library.honker_leader_new(
                Scheduler.this.database.handle(), waiter, token, name, name.length, out, err);
          },
          Scheduler.this.library::honker_leader_free);
    }

    Optional<List<Fire>> next() throws InterruptedException {
      return await(null, this::fired);
    }

    private List<Fire> fired() {
      long[] out = new long[1];
      int status =
          database.write(null, (db, txn, err) -> library.honker_leader_next(handle(), 0, out, err));
      return status == OK ? take(out[0]) : none(status);
    }
  }
}
