/*
 * honker: a durable job queue, event streams, notify/listen, locks, rate limits, results and a cron scheduler in the
 * SQLite file that an application already has.
 *
 * This header is made from the sources of honker-ffi; do not edit it.
 *
 * CALLS
 *
 * Functions that can fail answer a honker_status_t: 0 done, positive an outcome to be expected, negative an error.
 * Their last parameter takes the address of a honker_error_t pointer, or NULL: see there. There is no "last error".
 *
 * Outputs are set to 0 or NULL first, so that a call that does not return something leaves nothing in them. They must
 * not be NULL unless their function says so (HONKER_NULL_ARG).
 *
 * Text goes in as a pointer and a length in bytes: UTF-8 (else HONKER_UTF8), without a NUL in it (else HONKER_INVALID),
 * NULL only with length 0, which is the empty text or, where a function says so, none. honker keeps no pointer of the
 * caller's beyond the call. Names (of queues, workers, topics, ...) may be any text.
 *
 * Times are Unix seconds, durations that reach the file are seconds (_s), waits are milliseconds (_ms). Anything that
 * would overflow is HONKER_INVALID.
 *
 * Every operation takes a database and a transaction of it, which may be NULL. With one, the operation is part of it;
 * without, it is committed when the call returns, and has happened completely or not at all whenever the process may
 * die. An operation that fails has done nothing, and the transaction it was part of is as it was before; only after
 * HONKER_FULL, HONKER_IO, HONKER_ABORTED, HONKER_INTERRUPTED, HONKER_INTERNAL and HONKER_PANIC, and if a trigger of the
 * caller's says RAISE(ROLLBACK), the transaction may be over, rolled back; calls with it are HONKER_MISUSE then. Operations wait for the write lock for as long as the busy timeout (HONKER_BUSY); they can be ended
 * earlier by honker_interrupt and honker_close.
 *
 * HANDLES
 *
 * A handle, a pointer to a type whose content this header does not show, is checked in every call and never followed:
 * one that is NULL, closed, freed, or of another type is HONKER_MISUSE. Whoever is given a handle frees it, in any
 * order: what is in use stays until it is not. A child process that was forked may not use its parent's handles
 * (HONKER_FORKED), and need not free them.
 *
 * Structs that begin with struct_size are initialised with their _INIT macro. They may grow at their end: a library that
 * is older than the caller refuses what it does not know if that is not 0 (HONKER_UNSUPPORTED).
 *
 * Any function may be called from any thread at any time, unless the type it works on says otherwise. honker starts a
 * thread for a file only if several waiters of the process need one, or where commits have to be polled for. It installs
 * no signal handlers and prints nothing: that a file is watched in a worse way than it should be is a warning of
 * honker_waiter_new, and stands in honker_status. The environment variable HONKER_LOCK_SAFE_FILES=off switches off what honker_open says about other copies of SQLite.
 */


#ifndef HONKER_H
#define HONKER_H

#include <stddef.h>
#include <stdint.h>

/* HONKER_API: how the functions are imported. Define HONKER_STATIC on Windows when linking the static library. */
#if defined(_WIN32) && !defined(HONKER_STATIC)
#define HONKER_API __declspec(dllimport)
#else
#define HONKER_API
#endif

/* Initialisers. In C++ as in C: honker_open_opts_t opts = HONKER_OPEN_OPTS_INIT; */
#define HONKER_OPEN_OPTS_INIT                                              \
  { sizeof(honker_open_opts_t), 0, 5000, 8, HONKER_DURABILITY_NORMAL, HONKER_JOURNAL_WAL, 10000, \
    HONKER_NESTING_FAIL, 0, {0, 0}, 1 }
#define HONKER_ENQUEUE_OPTS_INIT                                           \
  { sizeof(honker_enqueue_opts_t), 0, HONKER_NO_TIME, HONKER_NO_TIME, HONKER_NO_TIME, 0, HONKER_NO_TIME, {0, 0}, {0, 0}, 0, 0, \
    {0, 0}, {0, 0}, HONKER_UNIQUE_SETTLED, HONKER_CONFLICT_KEEP, 0, 0 }
#define HONKER_JOB_SPEC_INIT                                               \
  { sizeof(honker_job_spec_t), 0, {0, 0}, {0, 0}, 0 }
#define HONKER_SCHEDULE_OPTS_INIT                                          \
  { sizeof(honker_schedule_opts_t), 0, 0, HONKER_NO_TIME, HONKER_NO_TIME, 0, HONKER_OVERLAP_ALLOW, 0 }
#define HONKER_SCHEDULE_UPDATE_INIT                                        \
  { sizeof(honker_schedule_update_t), 0, 0, {0, 0}, {0, 0}, 0, HONKER_NO_TIME, HONKER_NO_TIME }
#define HONKER_WORKER_OPTS_INIT                                            \
  { sizeof(honker_worker_opts_t), 0, 300, 5000, HONKER_NO_TIME, 15, 3600, 2.0, 0.1, 1, 1 }
#define HONKER_WORKER_QUEUE_INIT                                           \
  { sizeof(honker_worker_queue_t), 0, {0, 0}, 1, -1 }
#define HONKER_SUBSCRIPTION_OPTS_INIT                                      \
  { sizeof(honker_subscription_opts_t), 0, {0, 0}, HONKER_NO_TIME, 1000, 1000 }
#define HONKER_OUTBOX_OPTS_INIT                                            \
  { sizeof(honker_outbox_opts_t), 0, 60, 5, 5000 }
#define HONKER_NOTIFICATION_VIEW_INIT                                      \
  { sizeof(honker_notification_view_t), 0, 0, {0, 0}, {0, 0}, 0 }
#define HONKER_JOB_VIEW_INIT                                               \
  { sizeof(honker_job_view_t), 0, 0, {0, 0}, {0, 0}, {0, 0}, 0, 0, 0, 0, {0, 0} }
#define HONKER_LOST_JOB_VIEW_INIT                                          \
  { sizeof(honker_lost_job_view_t), 0, 0, 0, 0, 0 }
#define HONKER_EVENT_VIEW_INIT                                             \
  { sizeof(honker_event_view_t), 0, 0, {0, 0}, {0, 0}, {0, 0}, 0 }
#define HONKER_FIRE_VIEW_INIT                                              \
  { sizeof(honker_fire_view_t), 0, {0, 0}, {0, 0}, 0, 0, 0, 0 }

/**
 * The version of the interface that this header describes, major << 16 | minor. A library serves a program that was
 * compiled against another header if the major versions are the same and the library's minor version is not the lower
 * one.
 */
#define HONKER_ABI_VERSION ((2 << 16) | 2)

/**
 * `durability`: a commit survives a crash of the process; a power cut may take the last ones back
 * (PRAGMA synchronous = NORMAL).
 */
#define HONKER_DURABILITY_NORMAL 0

/**
 * `durability`: a commit survives a power cut as well (PRAGMA synchronous = FULL).
 */
#define HONKER_DURABILITY_FULL 1

/**
 * `journal_mode`: write-ahead log; readers do not wait for the writer.
 */
#define HONKER_JOURNAL_WAL 0

/**
 * `journal_mode`: rollback journal, deleted after each transaction.
 */
#define HONKER_JOURNAL_DELETE 1

/**
 * `journal_mode`: rollback journal, truncated after each transaction.
 */
#define HONKER_JOURNAL_TRUNCATE 2

/**
 * `journal_mode`: rollback journal, kept.
 */
#define HONKER_JOURNAL_PERSIST 3

/**
 * `nesting`: a call that would wait for a transaction that its own thread was the last to use is HONKER_MISUSE at once,
 * instead of HONKER_BUSY after the busy timeout.
 */
#define HONKER_NESTING_FAIL 0

/**
 * `nesting`: such a call waits like any other. For runtimes that run many tasks on a thread, or one task on many:
 * goroutines, virtual threads, schedulers of processes.
 */
#define HONKER_NESTING_WAIT 1

/**
 * `value_type`: NULL.
 */
#define HONKER_TYPE_NULL 0

/**
 * `value_type`: a 64-bit integer, in `integer`.
 */
#define HONKER_TYPE_INTEGER 1

/**
 * `value_type`: a floating-point number, in `real`.
 */
#define HONKER_TYPE_REAL 2

/**
 * `value_type`: UTF-8 text, in `bytes`.
 */
#define HONKER_TYPE_TEXT 3

/**
 * `value_type`: bytes, in `bytes`.
 */
#define HONKER_TYPE_BLOB 4

/**
 * The job has its unique key until it is done, dead or cancelled.
 */
#define HONKER_UNIQUE_SETTLED 0

/**
 * The job has its unique key until it is claimed, and again while it waits for another attempt, unless another has it then.
 */
#define HONKER_UNIQUE_CLAIMED 1

/**
 * The job that has the unique key stays as it is.
 */
#define HONKER_CONFLICT_KEEP 0

/**
 * The job that has the unique key becomes the new one if it is still waiting, and keeps its id. One that is claimed stays as
 * it is.
 */
#define HONKER_CONFLICT_REPLACE 1

/**
 * A time or a duration that is not set.
 */
#define HONKER_NO_TIME INT64_MAX

/**
 * `reason`: the job was cancelled, deleted, or settled by somebody else.
 */
#define HONKER_LOST_GONE 1

/**
 * `reason`: its claim is over, and nobody has claimed it again yet.
 */
#define HONKER_LOST_LAPSED 2

/**
 * `reason`: it was claimed again after its claim was over, by another worker or by this one.
 */
#define HONKER_LOST_TAKEN 3

/**
 * `reason`: it ran longer than it may. It has been retried, with the error "timeout after N s"; if the file refused that,
 * its claim is left to its end.
 */
#define HONKER_LOST_TIMEOUT 4

/**
 * `kind`: the job is done.
 */
#define HONKER_SETTLE_ACK 0

/**
 * `kind`: the job could not be done now; it becomes due again after `delay_s`, HONKER_NO_TIME for the worker's own delay.
 */
#define HONKER_SETTLE_RETRY 1

/**
 * `kind`: the job can never be done; it is dead.
 */
#define HONKER_SETTLE_FAIL 2

/**
 * `kind`: the job becomes due again after `delay_s`, and this attempt does not count.
 */
#define HONKER_SETTLE_SNOOZE 3

/**
 * `kind`: the job is due again at once, and this attempt does not count.
 */
#define HONKER_SETTLE_RELEASE 4

/**
 * At every boundary a job is enqueued.
 */
#define HONKER_OVERLAP_ALLOW 0

/**
 * A boundary enqueues nothing while the last job that the schedule has enqueued is live, unless no claim may take that any
 * more.
 */
#define HONKER_OVERLAP_SKIP 1

/**
 * `fields`: change the expression.
 */
#define HONKER_UPDATE_EXPRESSION 1

/**
 * `fields`: change the payload.
 */
#define HONKER_UPDATE_PAYLOAD 2

/**
 * `fields`: change the priority.
 */
#define HONKER_UPDATE_PRIORITY 4

/**
 * `fields`: change the expiry.
 */
#define HONKER_UPDATE_EXPIRES 8

/**
 * `fields`: change how often the jobs may be claimed.
 */
#define HONKER_UPDATE_MAX_ATTEMPTS 16

/**
 * An open database: the SQLite file, and the connections to use it; or a Postgres server. Any number of threads may use it
 * at the same time. On a file, calls that write at the same moment share a commit; reads run beside them.
 *
 * Everything a call has done is committed when it returns. Should the process die in the middle of one, it has happened
 * completely or not at all.
 */
typedef struct honker_db_t honker_db_t;

/**
 * What went wrong. Every function that can fail takes the address of such a pointer last, which may be NULL: it is set
 * to NULL when the call succeeds, and to an error that the caller has to free when it fails (a negative status).
 * `honker_open`, `honker_waiter_new` and `honker_worker_settle_next` may leave one, a warning, when they succeed; it is freed
 * like any other. An error does not change: any thread may read it.
 */
typedef struct honker_error_t honker_error_t;

/**
 * Events read from a stream. They do not change: any thread may read them.
 */
typedef struct honker_events_t honker_events_t;

/**
 * The boundaries that a tick has fired. They do not change: any thread may read them.
 */
typedef struct honker_fires_t honker_fires_t;

/**
 * The jobs of one claim, and those that a worker has lost. They do not change: any thread may read them.
 */
typedef struct honker_jobs_t honker_jobs_t;

/**
 * One of those who may fire the schedules of a file: one of them all leads, the others stand by. One thread uses it at a
 * time. A leader that dies is replaced within a minute, one that is freed at once.
 */
typedef struct honker_leader_t honker_leader_t;

/**
 * Delivers the notifications of one channel, from when it was made on, in order. One thread uses it at a time.
 */
typedef struct honker_listener_t honker_listener_t;

/**
 * A worker of an outbox, which is the queue "_outbox:" and its name: whatever is enqueued there is to be delivered, and tried
 * again with a growing distance if that fails. One thread uses it at a time.
 */
typedef struct honker_outbox_t honker_outbox_t;

/**
 * Waits for the result of one job. One thread uses it at a time.
 */
typedef struct honker_result_wait_t honker_result_wait_t;

/**
 * The rows of a query. They do not change: any thread may read them.
 */
typedef struct honker_rows_t honker_rows_t;

/**
 * Delivers the events of one topic in order, and keeps how far its consumer has come. One thread uses it at a time.
 *
 * An event is finished when the next one is asked for, or with `honker_subscription_ack`. Only finished events are saved:
 * a consumer that dies in the middle of one sees it again.
 */
typedef struct honker_subscription_t honker_subscription_t;

/**
 * A text that the caller owns. It does not change: any thread may read it.
 */
typedef struct honker_text_t honker_text_t;

/**
 * An open transaction: the caller's own SQL and honker's operations, committed together or not at all. One thread uses
 * it at a time; it may move between threads.
 *
 * It holds the database's only writer: until it is over, other calls of this process that write, and those of other
 * processes, wait for as long as their busy timeout. Should the process die, it never happened.
 */
typedef struct honker_tx_t honker_tx_t;

/**
 * Tells that something was committed to the file, by anyone. One thread uses it at a time.
 */
typedef struct honker_updates_t honker_updates_t;

/**
 * A place at which any number of consumers wait for commits to a database, by anyone in any process, and for their
 * deadlines: a job that becomes due, a claim that lapses, a heartbeat, an offset to save, a fallback look. Each is made
 * with the waiter and a token of the caller's choice, by which `honker_waiter_ready` names it.
 *
 * An event loop polls `honker_waiter_fd`, calls `honker_waiter_ready` when it is readable, and `next`, with a time of 0, of
 * the consumers that are named, until each has no more. It needs no clock of its own. Where there are no descriptors, one
 * thread waits in `honker_wait` instead. A thread that serves one consumer waits in its `next`.
 *
 * A thread that is blocked in a wait watches the file itself, also for the others that wait. A thread of honker's watches
 * for all only if a file has several waiters in a process one of which has its descriptor taken (`honker_waiter_fd`).
 *
 * One thread at a time is in `honker_wait` or `honker_waiter_ready`. Any thread may wake or free it meanwhile.
 */
typedef struct honker_waiter_t honker_waiter_t;

/**
 * Claims jobs of its queues, or waits for them, and keeps those that it has in hand until they are settled: it prolongs
 * their claims by itself, and tells which of them it has lost. One thread uses it at a time; it holds any number of jobs.
 */
typedef struct honker_worker_t honker_worker_t;

/**
 * What a call answers: 0 is success, a positive number an outcome to be expected, a negative number an error. The
 * numbers never change and are never given to anything else. A later library may answer one that is not listed here:
 * an unknown negative number is an error like any other, an unknown positive one means that the call did not do what
 * 0 would have meant.
 */
typedef int32_t honker_status_t;

/**
 * A piece of memory that belongs to somebody else.
 */
typedef struct {
  /**
   * Where it begins; NULL is allowed if `len` is 0.
   */
  const uint8_t *data;
  /**
   * Its length in bytes.
   */
  size_t len;
} honker_bytes_t;

/**
 * How to open a database. Begin with HONKER_OPEN_OPTS_INIT.
 */
typedef struct {
  /**
   * sizeof(honker_open_opts_t).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * How long a call waits for a lock that another process, or a transaction of this one, holds. Default 5000.
   */
  int64_t busy_timeout_ms;
  /**
   * How many reads may run at once, 1 to 1000 (1 counts as 2). Default 8. One is kept for operations, whatever queries
   * run.
   */
  uint32_t readers_max;
  /**
   * One of HONKER_DURABILITY_*. Default NORMAL.
   */
  uint32_t durability;
  /**
   * One of HONKER_JOURNAL_*. Default WAL.
   */
  uint32_t journal_mode;
  /**
   * After how many pages the write-ahead log is written back; 0 means never. Default 10000.
   */
  uint32_t wal_autocheckpoint_pages;
  /**
   * One of HONKER_NESTING_*. Default FAIL.
   */
  uint32_t nesting;
  /**
   * 0.
   */
  uint32_t reserved_2;
  /**
   * How commits are noticed: "auto" (the default, also NULL), "polling", "kernel" or "shm".
   */
  honker_bytes_t watcher_backend;
  /**
   * How often the back ends that poll look, more than 0. Default 1.
   */
  int64_t watcher_poll_interval_ms;
} honker_open_opts_t;

/**
 * A parameter or a column.
 */
typedef struct {
  /**
   * One of HONKER_TYPE_*. It says which of the other fields counts; those that do not are 0 in a result.
   */
  uint32_t value_type;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * An integer.
   */
  int64_t integer;
  /**
   * A floating-point number.
   */
  double real;
  /**
   * A text or a blob.
   */
  honker_bytes_t bytes;
} honker_value_t;

/**
 * How a job is enqueued. Begin with HONKER_ENQUEUE_OPTS_INIT.
 */
typedef struct {
  /**
   * sizeof(honker_enqueue_opts_t).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * When the job becomes due, in Unix seconds. Default HONKER_NO_TIME: now. Not looked at if `delay_s` is set.
   */
  int64_t run_at;
  /**
   * In how many seconds the job becomes due; may be negative. Default HONKER_NO_TIME: not set.
   */
  int64_t delay_s;
  /**
   * After how many seconds from now the job may not be claimed any more; 0 or less means it is born expired. Default
   * HONKER_NO_TIME: never.
   */
  int64_t expires_s;
  /**
   * Larger is sooner. Default 0.
   */
  int64_t priority;
  /**
   * How often the job may be claimed. With 0 or less it never is, and ends among the dead. Default HONKER_NO_TIME: what is set
   * for its queue (`honker_queue_configure`), or else 3.
   */
  int64_t max_attempts;
  /**
   * Comes back with the job: a JSON object of texts, at most 8192 bytes. Default none, which is empty.
   */
  honker_bytes_t metadata;
  /**
   * Jobs of a queue with the same key can be kept from running at the same time. Default none, which is empty.
   */
  honker_bytes_t concurrency_key;
  /**
   * The batch that the job belongs to. Default 0: none.
   */
  int64_t batch_id;
  /**
   * A job of that batch that is running, on whose behalf this one joins it although it is sealed. Looked at only if
   * `member_worker_id` is set.
   */
  int64_t member_job_id;
  /**
   * Who has claimed that job. Default none, which is empty.
   */
  honker_bytes_t member_worker_id;
  /**
   * There is only one job of the queue with the same key (HONKER_EXISTS, HONKER_REPLACED). Default none, which is empty.
   */
  honker_bytes_t unique_key;
  /**
   * Until when the job has the key. Default HONKER_UNIQUE_SETTLED.
   */
  uint32_t unique_until;
  /**
   * What becomes of the job if another one has the key. Default HONKER_CONFLICT_KEEP.
   */
  uint32_t on_conflict;
  /**
   * For how many seconds the job has the key at least, this one included, whatever becomes of it. Default 0: none.
   */
  int64_t unique_for_s;
  /**
   * For how many seconds a worker lets the job run before it is retried. Default 0: as long as the worker says.
   */
  int64_t max_run_s;
} honker_enqueue_opts_t;

/**
 * One of the jobs that are enqueued together. Begin with HONKER_JOB_SPEC_INIT.
 */
typedef struct {
  /**
   * sizeof(honker_job_spec_t).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * The queue's name.
   */
  honker_bytes_t queue;
  /**
   * Text, JSON by convention, and stored as it is.
   */
  honker_bytes_t payload;
  /**
   * How it is enqueued; several may have the same. NULL, the default, for the defaults.
   */
  const honker_enqueue_opts_t *opts;
} honker_job_spec_t;

/**
 * What has become of one of them.
 */
typedef struct {
  /**
   * The job's id, or that of the job that has its unique key.
   */
  int64_t id;
  /**
   * HONKER_OK, HONKER_EXISTS or HONKER_REPLACED, as `honker_enqueue` answers.
   */
  honker_status_t status;
  /**
   * 0.
   */
  uint32_t reserved;
} honker_enqueue_result_t;

/**
 * One claimed job. Begin with HONKER_JOB_VIEW_INIT. The texts, without a NUL behind them, are valid until the jobs are
 * freed.
 */
typedef struct {
  /**
   * sizeof(honker_job_view_t).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * The job's id.
   */
  int64_t id;
  /**
   * The queue it came from.
   */
  honker_bytes_t queue;
  /**
   * As it was enqueued.
   */
  honker_bytes_t payload;
  /**
   * Who holds it now.
   */
  honker_bytes_t worker_id;
  /**
   * How often it has been claimed, this time included.
   */
  int64_t attempts;
  /**
   * The last second, in Unix time, in which this claim is valid.
   */
  int64_t claim_expires_at;
  /**
   * Names this claim of the job, for a worker (`honker_settlement_t`); 0 if no worker made it.
   */
  int64_t serial;
  /**
   * How often it may be claimed.
   */
  int64_t max_attempts;
  /**
   * What it was enqueued with: a JSON object of texts. Empty: none.
   */
  honker_bytes_t metadata;
} honker_job_view_t;

/**
 * A job that a worker had in hand and has no more. Its handler should stop: what it settles is refused. Begin with
 * HONKER_LOST_JOB_VIEW_INIT.
 */
typedef struct {
  /**
   * sizeof(honker_lost_job_view_t).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * The job's id.
   */
  int64_t id;
  /**
   * The claim of it that was lost.
   */
  int64_t serial;
  /**
   * One of HONKER_LOST_*.
   */
  uint32_t reason;
  /**
   * 0.
   */
  uint32_t reserved_2;
} honker_lost_job_view_t;

/**
 * A queue that a worker claims from. Begin with HONKER_WORKER_QUEUE_INIT.
 */
typedef struct {
  /**
   * sizeof(honker_worker_queue_t).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * Its name.
   */
  honker_bytes_t name;
  /**
   * How often it is asked first, compared with the others; places that it cannot fill go to the others. Default 1. If all
   * weights are 0 the queues are asked in the order given; one with weight 0 beside others comes after them.
   */
  int64_t weight;
  /**
   * How many of its jobs may be in hand at most. Default -1: as many as the worker takes.
   */
  int64_t in_hand_max;
} honker_worker_queue_t;

/**
 * How a worker claims. Begin with HONKER_WORKER_OPTS_INIT.
 */
typedef struct {
  /**
   * sizeof(honker_worker_opts_t).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * For how many seconds a claim is the worker's. Default 300.
   */
  int64_t visibility_timeout_s;
  /**
   * How often it looks without having been woken. Default 5000; -1: never.
   */
  int64_t fallback_ms;
  /**
   * For how many seconds a job may run before it is retried and told as lost. Default HONKER_NO_TIME: without end.
   */
  int64_t max_run_s;
  /**
   * A job that has failed for the nth time is due again after `retry_base_s` times `retry_factor` to the power of n - 1,
   * at most `retry_max_s`, in seconds. Default 15.
   */
  int64_t retry_base_s;
  /**
   * Default 3600.
   */
  int64_t retry_max_s;
  /**
   * Default 2; at least 1.
   */
  double retry_factor;
  /**
   * The delay is multiplied by a random number in 1 ± `retry_jitter`. Default 0.1; from 0 to 1.
   */
  double retry_jitter;
  /**
   * 1 (the default): claims in hand are prolonged by the worker, at a third of the visibility timeout. 0: they are not.
   */
  uint32_t heartbeat;
  /**
   * 1 (the default): the jobs in hand are given back as soon as this process is dead, their attempt counted, and not only when
   * the claims lapse. The worker claims as `<worker_id>@<instance>` then, which is what its jobs show. 0: it claims as
   * `worker_id`, and the visibility timeout holds; so it does where no file `<database>-honker` can be made, and on other
   * systems than Linux.
   */
  uint32_t rescue;
} honker_worker_opts_t;

/**
 * What becomes of a job that a worker holds.
 */
typedef struct {
  /**
   * One of HONKER_SETTLE_*.
   */
  uint32_t kind;
  /**
   * Written by the call: HONKER_OK; HONKER_LOST if the worker did not hold the job any more, or holds another claim of it
   * by now; an error's status if this settlement was refused, or if nothing was committed. See
   * `honker_worker_settle_next`.
   */
  honker_status_t status;
  /**
   * The job.
   */
  int64_t id;
  /**
   * The claim of it, as the job says.
   */
  int64_t serial;
  /**
   * In how many seconds it becomes due again, for a retry or a snooze.
   */
  int64_t delay_s;
  /**
   * Why, for a retry that turns out to have been the last, and for a failure.
   */
  honker_bytes_t error;
} honker_settlement_t;

/**
 * One notification. Begin with HONKER_NOTIFICATION_VIEW_INIT. The texts, without a NUL behind them, are valid until the
 * next call with the listener.
 */
typedef struct {
  /**
   * sizeof(honker_notification_view_t).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * Increases from one to the next, over all channels.
   */
  int64_t id;
  /**
   * Where it was sent.
   */
  honker_bytes_t channel;
  /**
   * As it was sent.
   */
  honker_bytes_t payload;
  /**
   * When it was sent, in Unix seconds.
   */
  int64_t created_at;
} honker_notification_view_t;

/**
 * One event. Begin with HONKER_EVENT_VIEW_INIT. The texts, without a NUL behind them, are valid until the events are
 * freed.
 */
typedef struct {
  /**
   * sizeof(honker_event_view_t).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * Its place in the stream. Offsets increase within a topic, with gaps, and begin at 1.
   */
  int64_t offset;
  /**
   * The topic it was published to.
   */
  honker_bytes_t topic;
  /**
   * The publisher's key; its data is NULL if there is none.
   */
  honker_bytes_t key;
  /**
   * As it was published.
   */
  honker_bytes_t payload;
  /**
   * When it was published, in Unix seconds.
   */
  int64_t created_at;
} honker_event_view_t;

/**
 * How a subscription reads and saves. Begin with HONKER_SUBSCRIPTION_OPTS_INIT.
 */
typedef struct {
  /**
   * sizeof(honker_subscription_opts_t).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * Whose offset is read and saved; data NULL (the default) saves nothing.
   */
  honker_bytes_t consumer;
  /**
   * Where to begin: after this offset. Default HONKER_NO_TIME: after the consumer's saved offset, or from the beginning.
   */
  int64_t from_offset;
  /**
   * After how many finished events the offset is saved. Default 1000; 0: never because of a number.
   */
  int64_t save_every_n;
  /**
   * After what time the offset is saved, if there is something to save. Default 1000; 0: never because of the time.
   */
  int64_t save_every_ms;
} honker_subscription_opts_t;

/**
 * How a schedule's jobs are enqueued. Begin with HONKER_SCHEDULE_OPTS_INIT.
 */
typedef struct {
  /**
   * sizeof(honker_schedule_opts_t).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * Larger is sooner. Default 0.
   */
  int64_t priority;
  /**
   * After how many seconds from its boundary a job may not be claimed any more. Default HONKER_NO_TIME: never.
   */
  int64_t expires_s;
  /**
   * How often a job may be claimed; less than 1 means 1. Default HONKER_NO_TIME: what is set for its queue, or else 3.
   */
  int64_t max_attempts;
  /**
   * What else there is to be said of the jobs: metadata, keys, a batch, a delay from when they are enqueued. What of it the
   * fields above say as well, and `run_at` and the member, must be the defaults. Default NULL: nothing.
   */
  const honker_enqueue_opts_t *job;
  /**
   * What becomes of a boundary while the last job of the schedule is live. Default HONKER_OVERLAP_ALLOW.
   */
  uint32_t overlap;
  /**
   * 0.
   */
  uint32_t reserved_2;
} honker_schedule_opts_t;

/**
 * What to change of a schedule. Begin with HONKER_SCHEDULE_UPDATE_INIT.
 */
typedef struct {
  /**
   * sizeof(honker_schedule_update_t).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * Which of the fields below to change: any of HONKER_UPDATE_*, added up.
   */
  uint64_t fields;
  /**
   * A new expression; the next boundary is then computed from now.
   */
  honker_bytes_t expression;
  /**
   * A new payload.
   */
  honker_bytes_t payload;
  /**
   * A new priority.
   */
  int64_t priority;
  /**
   * A new expiry in seconds; HONKER_NO_TIME for none.
   */
  int64_t expires_s;
  /**
   * How often its jobs may be claimed; less than 1 means 1, HONKER_NO_TIME: what is set for their queue, or else 3.
   */
  int64_t max_attempts;
} honker_schedule_update_t;

/**
 * One boundary that was fired. Begin with HONKER_FIRE_VIEW_INIT. The texts, without a NUL behind them, are valid until
 * the fires are freed.
 */
typedef struct {
  /**
   * sizeof(honker_fire_view_t).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * The schedule.
   */
  honker_bytes_t name;
  /**
   * Where its job went.
   */
  honker_bytes_t queue;
  /**
   * The boundary, in Unix seconds.
   */
  int64_t fire_at;
  /**
   * The job; 0 if none was enqueued.
   */
  int64_t job_id;
  /**
   * HONKER_OK: it was enqueued. HONKER_EXISTS or HONKER_REPLACED: another job, this one, has its unique key (see
   * `honker_enqueue`). HONKER_EMPTY: none was enqueued (HONKER_OVERLAP_SKIP).
   */
  honker_status_t status;
  /**
   * 0.
   */
  uint32_t reserved_2;
} honker_fire_view_t;

/**
 * How an outbox delivers. Begin with HONKER_OUTBOX_OPTS_INIT.
 */
typedef struct {
  /**
   * sizeof(honker_outbox_opts_t).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * How long a delivery may take, in seconds, before it goes to another worker. Default 60.
   */
  int64_t visibility_timeout_s;
  /**
   * How long, in seconds, the first retry waits; each further one waits twice as long as the one before. Default 5; 0
   * or less: no wait.
   */
  int64_t base_backoff_s;
  /**
   * How often it looks without having been woken. Default 5000; -1: never.
   */
  int64_t fallback_ms;
} honker_outbox_opts_t;

/**
 * Done.
 */
#define HONKER_OK 0

/**
 * There was nothing: nothing to return, or nothing to change.
 */
#define HONKER_EMPTY 1

/**
 * The time was over before anything happened.
 */
#define HONKER_TIMEOUT 2

/**
 * The wait was ended by a wake from another thread.
 */
#define HONKER_WOKEN 3

/**
 * What the caller held is not the caller's any more: a claim that lapsed, went to another worker or was settled
 * already, or a lock that somebody else took.
 */
#define HONKER_LOST 4

/**
 * Somebody else has the lock.
 */
#define HONKER_HELD 5

/**
 * The rate limit is used up for now.
 */
#define HONKER_LIMITED 6

/**
 * What was waited for has been closed.
 */
#define HONKER_CLOSED 7

/**
 * There is one already, and it was left as it is: another job has the unique key.
 */
#define HONKER_EXISTS 8

/**
 * There was one already, and it has become the new one: another job had the unique key.
 */
#define HONKER_REPLACED 9

/**
 * Something that should not happen: a bug of honker, or memory that could not be had.
 */
#define HONKER_INTERNAL -1

/**
 * Another process, or a transaction of this one, held the write lock for longer than the busy timeout; on a server, a
 * lock, or the transaction met another one (deadlock, serialization failure). Nothing was done; try again.
 */
#define HONKER_BUSY -2

/**
 * A constraint of the user's own tables refused the change.
 */
#define HONKER_CONSTRAINT -3

/**
 * The operating system failed to read or write.
 */
#define HONKER_IO -4

/**
 * The file is damaged, or no database at all.
 */
#define HONKER_CORRUPT -5

/**
 * The disk, or the database, is full.
 */
#define HONKER_FULL -6

/**
 * The file or its directory cannot be written to.
 */
#define HONKER_READONLY -7

/**
 * The file cannot be opened: no such directory, no permission.
 */
#define HONKER_CANNOT_OPEN -8

/**
 * SQLite refused the statement: a mistake in the SQL, a missing table, or a value of an unfitting type.
 */
#define HONKER_SQL -9

/**
 * The schema changed again and again while the statement was prepared.
 */
#define HONKER_SCHEMA -10

/**
 * A text, a blob or a row is larger than SQLite stores.
 */
#define HONKER_TOO_BIG -11

/**
 * Rolled back because of somebody else's failure. Nothing was done; try again.
 */
#define HONKER_ABORTED -12

/**
 * The call cannot be made: the handle is NULL, closed, freed or of another kind, or it is not the time for this call.
 */
#define HONKER_MISUSE -20

/**
 * A pointer that must not be NULL is NULL.
 */
#define HONKER_NULL_ARG -21

/**
 * A text is not valid UTF-8.
 */
#define HONKER_UTF8 -22

/**
 * An argument cannot be used; the message names it.
 */
#define HONKER_INVALID -23

/**
 * What the call is about does not exist.
 */
#define HONKER_NOT_FOUND -24

/**
 * The database was closed while the call was running or waiting.
 */
#define HONKER_CLOSED_HANDLE -25

/**
 * The handle comes from before this process was forked. Open the database again in the child.
 */
#define HONKER_FORKED -26

/**
 * This library, or this machine, cannot do that.
 */
#define HONKER_UNSUPPORTED -27

/**
 * Ended by `honker_interrupt`. Nothing was done.
 */
#define HONKER_INTERRUPTED -28

/**
 * A bug of honker's, caught at the border. What the call was doing has been undone, with the transaction it was part of;
 * the database can be used further.
 */
#define HONKER_PANIC -29

/**
 * The file was replaced by another, or has been missing for a second: the database still has the old one, which nobody
 * else can open. Waits say so promptly, operations 100 ms after it was replaced or sooner. Close the database and open it
 * again.
 */
#define HONKER_WATCHER -30

/**
 * The operating system refused what it has a limited number of: descriptors, threads, inotify instances. The message has
 * its error.
 */
#define HONKER_SYSTEM -31

/**
 * The file was brought up to date by a newer honker, and this library is too old to write to it; the message names both
 * versions. Update it.
 */
#define HONKER_TOO_OLD -32

/**
 * The connection to the server was lost, or there is none to be had; the library connects again by itself. Nothing was
 * done if the call had not begun; if it was lost while the server was at work, nobody knows whether that was committed.
 * Only for databases on a server.
 */
#define HONKER_CONNECTION -33

/**
 * What was in this database has been moved to another one by `honker move`, or is being moved; the message says where. Open
 * that one. Jobs that run may be settled until all is there; nothing is added or claimed here any more.
 */
#define HONKER_MOVED -34

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The name of a status, as it stands in this header: "HONKER_BUSY"; "HONKER_UNKNOWN" for a number that this library
 * does not know. The text is static. Any thread.
 */
HONKER_API
const char *honker_status_name(honker_status_t status);

/**
 * Whether an error is one of the moment, so that a worker waits and tries again: 1 for HONKER_BUSY, HONKER_IO, HONKER_FULL,
 * HONKER_READONLY, HONKER_CANNOT_OPEN, HONKER_SCHEMA, HONKER_ABORTED, HONKER_INTERRUPTED, HONKER_SYSTEM and
 * HONKER_CONNECTION. 0 for those that the same call will meet again, and for what is no error. Any thread.
 */
HONKER_API
int32_t honker_status_is_transient(honker_status_t status);

/**
 * The version of the interface that the library at hand has: HONKER_ABI_VERSION when it was built.
 */
HONKER_API
uint32_t honker_abi_version(void);

/**
 * The version of the library, "1.2.3". The text is static.
 */
HONKER_API
const char *honker_version(void);

/**
 * What the library was built from, for bug reports: a JSON object with the keys version, abi_version, commit, target,
 * sqlite_version, sqlite_source_id, lock_safe_files (whether another copy of SQLite in this process may have the same
 * file open) and features. The text is static.
 */
HONKER_API
const char *honker_build_info(void);

/**
 * The status that the failed call answered. HONKER_MISUSE if `error` is no error.
 */
HONKER_API
honker_status_t honker_error_status(const honker_error_t *error);

/**
 * The name of that status, for logs: "HONKER_BUSY". The text is static.
 */
HONKER_API
const char *honker_error_name(const honker_error_t *error);

/**
 * What happened, in words for the user of the program: UTF-8 and NUL-terminated, its length in bytes without the NUL
 * in `len_out` unless that is NULL. It is valid until the error is freed. An empty text if `error` is no error.
 */
HONKER_API
const char *honker_error_message(const honker_error_t *error,
                                 size_t *len_out);

/**
 * SQLite's primary result code, 5 for SQLITE_BUSY; 0 if it was not SQLite that refused.
 */
HONKER_API
int32_t honker_error_sqlite_code(const honker_error_t *error);

/**
 * SQLite's extended result code, 517 for SQLITE_BUSY_SNAPSHOT; 0 if it was not SQLite that refused.
 */
HONKER_API
int32_t honker_error_sqlite_extended_code(const honker_error_t *error);

/**
 * Frees an error. NULL is allowed, and freeing twice does no harm.
 */
HONKER_API
void honker_error_free(honker_error_t *error);

/**
 * The bytes of a text, UTF-8 without a NUL behind them, valid until it is freed, and their number.
 */
HONKER_API
honker_status_t honker_text_get(const honker_text_t *text,
                                const uint8_t **data_out,
                                size_t *len_out,
                                honker_error_t **err);

/**
 * Frees a text. NULL is allowed, and freeing twice does no harm.
 */
HONKER_API
void honker_text_free(honker_text_t *text);

/**
 * Opens a SQLite file, creating it if need be, and brings honker's tables in it up to date.
 *
 * `path` is a file name or a `file:` URI, UTF-8 on every system. In-memory databases are HONKER_INVALID: nobody else
 * could see them. `opts` may be NULL for the defaults. The handle in `db_out` is to be closed with `honker_close`.
 *
 * HONKER_CANNOT_OPEN, HONKER_READONLY, HONKER_CORRUPT, HONKER_FULL and HONKER_IO say what is wrong with the file;
 * HONKER_BUSY, that somebody kept it locked for longer than the busy timeout. A file that cannot be written to can be
 * opened if honker's tables in it are up to date; calls that write are HONKER_READONLY then.
 *
 * A `path` that begins with `postgres://` or `postgresql://` is the URL of a server, with the parameters that libpq knows
 * (sslmode, sslrootcert, application_name, connect_timeout, host=/folder for a Unix socket, …), its environment variables
 * and its password file. What differs there is in docs/postgres.md. Its schema `honker` has to be installed (`honker
 * migrate`, or the parameter `honker_migrate=on`); behind a transaction pooler `honker_listen` has the URL of a direct
 * connection, percent-encoded. `opts` beside the busy timeout and `readers_max`, the number of connections, are for files.
 * HONKER_CONNECTION: the server cannot be reached; HONKER_CANNOT_OPEN: it refuses this user, or has no such database or no
 * schema; HONKER_UNSUPPORTED: this library was built without servers. A password is in no message.
 *
 * On 64-bit Linux any other copy of SQLite in the same process, the one of a database driver for instance, may have the
 * same file open. Elsewhere on POSIX systems that would cost both copies their locks. If this call sees a descriptor on
 * the file there that is not honker's own, it succeeds and leaves an error of status HONKER_UNSUPPORTED in `err`, a
 * warning, to be freed like any other.
 */
HONKER_API
honker_status_t honker_open(const uint8_t *path,
                            size_t path_len,
                            const honker_open_opts_t *opts,
                            honker_db_t **db_out,
                            honker_error_t **err);

/**
 * Closes a database. Calls that other threads have running or waiting end with HONKER_CLOSED_HANDLE, an open
 * transaction is rolled back, leaders give up their lock and subscriptions save their offset (for which this waits a
 * second at most, and not longer than the busy timeout, should another process keep the file locked), and when this
 * returns the file is nobody's and can be deleted. The handle is gone, also
 * when closing fails; transactions and results that came from it are to be freed all the same, in any order.
 */
HONKER_API
honker_status_t honker_close(honker_db_t *db,
                             honker_error_t **err);

/**
 * The state of the database, for people and monitoring: a JSON object, to be freed with `honker_text_free`.
 *
 * `file` (on a server its URL, without a password); `connections` (`writers`, `readers`, `readers_in_use`, `readers_max`);
 * `versions` (`honker`, `sqlite`, and on a server `postgres`); and
 * `watcher`, null before the first waiter: the `backend` that was asked for, the `method` in use (`events`, `polling`),
 * its `state` (`watching`, `unreadable`, `died`), `demoted` (it went over from events to polling), the counters `checks`,
 * `wakes` and `unannounced`, and `warnings`, each with `text`, `count` and `last_at` in seconds since 1970. `warnings` of
 * the object itself are of the same form: schedules that a leader of this database could not fire, and jobs that a worker
 * has passed over. Keys may be added. It waits for nobody.
 */
HONKER_API
honker_status_t honker_status(honker_db_t *db,
                              honker_text_t **json_out,
                              honker_error_t **err);

/**
 * Ends every call that is running or waiting on this database now, in whichever thread, with HONKER_INTERRUPTED. Later
 * calls are not affected.
 */
HONKER_API
honker_status_t honker_interrupt(honker_db_t *db,
                                 honker_error_t **err);

/**
 * Begins a transaction that may write (BEGIN IMMEDIATE). Waits, for as long as the busy timeout, for one that another
 * thread or process has open; HONKER_MISUSE at once if it was this thread that used the open one last, which would wait
 * for itself: transactions do not nest. The same holds of every call that writes without a transaction.
 *
 * The handle in `tx_out` is to be freed with `honker_tx_free`, whatever becomes of the transaction.
 */
HONKER_API
honker_status_t honker_tx_begin(honker_db_t *db,
                                honker_tx_t **tx_out,
                                honker_error_t **err);

/**
 * Commits. On an error nothing of the transaction has happened. Either way it is over, and further calls with it are
 * HONKER_MISUSE.
 */
HONKER_API
honker_status_t honker_tx_commit(honker_tx_t *tx,
                                 honker_error_t **err);

/**
 * Rolls back: nothing of the transaction has happened, and it is over.
 */
HONKER_API
honker_status_t honker_tx_rollback(honker_tx_t *tx,
                                   honker_error_t **err);

/**
 * Frees a transaction, rolling it back if it is still open. Any thread may do that, also while another one uses it: what
 * that one runs ends with HONKER_INTERRUPTED, save a commit, which is waited for. This takes 100 ms at most; should the
 * other thread's call take longer, the transaction is over when that has ended. NULL is allowed, and freeing twice does no
 * harm.
 */
HONKER_API
void honker_tx_free(honker_tx_t *tx);

/**
 * Runs one statement of SQL in a transaction; how many rows it inserted, updated or deleted. All of honker's SQL
 * functions are there.
 *
 * The connection is shared with all other calls, so what would outlast the transaction or end it is HONKER_INVALID, and
 * the message names what to use instead: BEGIN, COMMIT and ROLLBACK, ATTACH and DETACH, and pragmas that set something
 * for the connection or the file (those that ask are allowed, and so are SAVEPOINT, RELEASE and ROLLBACK TO). Temporary
 * tables, views and triggers are dropped when the transaction is over.
 *
 * `params` are the values of ?1, ?2, … in order, and may be NULL if there are none; a statement
 * with more or fewer parameters is HONKER_INVALID.
 */
HONKER_API
honker_status_t honker_tx_execute(honker_tx_t *tx,
                                  const uint8_t *sql,
                                  size_t sql_len,
                                  const honker_value_t *params,
                                  size_t params_len,
                                  int64_t *changes_out,
                                  honker_error_t **err);

/**
 * Runs one statement of SQL in a transaction; its rows, to be freed with `honker_rows_free`. They see what the
 * transaction has done so far. Parameters as for `honker_tx_execute`.
 */
HONKER_API
honker_status_t honker_tx_query(honker_tx_t *tx,
                                const uint8_t *sql,
                                size_t sql_len,
                                const honker_value_t *params,
                                size_t params_len,
                                honker_rows_t **rows_out,
                                honker_error_t **err);

/**
 * Runs one statement of SQL that only reads; its rows, to be freed with `honker_rows_free`. They are what is committed.
 * honker's SQL functions are not there, and a statement that writes is HONKER_READONLY. What `honker_tx_execute` refuses
 * is refused here, and SAVEPOINT as well. Parameters as for `honker_tx_execute`.
 *
 * One of the connections that read is kept for honker's own operations: queries that take long keep only each other
 * waiting (HONKER_BUSY after the busy timeout).
 */
HONKER_API
honker_status_t honker_query(honker_db_t *db,
                             const uint8_t *sql,
                             size_t sql_len,
                             const honker_value_t *params,
                             size_t params_len,
                             honker_rows_t **rows_out,
                             honker_error_t **err);

/**
 * How many rows and columns there are.
 */
HONKER_API
honker_status_t honker_rows_size(const honker_rows_t *rows,
                                 size_t *rows_out,
                                 size_t *columns_out,
                                 honker_error_t **err);

/**
 * The name of a column, counted from 0, without a NUL behind it, valid until the rows are freed, and its length.
 */
HONKER_API
honker_status_t honker_rows_column(const honker_rows_t *rows,
                                   size_t column,
                                   const uint8_t **name_out,
                                   size_t *len_out,
                                   honker_error_t **err);

/**
 * The value in a row and a column, both counted from 0. Its bytes are valid until the rows are freed.
 */
HONKER_API
honker_status_t honker_rows_get(const honker_rows_t *rows,
                                size_t row,
                                size_t column,
                                honker_value_t *value_out,
                                honker_error_t **err);

/**
 * Frees rows. NULL is allowed, and freeing twice does no harm.
 */
HONKER_API
void honker_rows_free(honker_rows_t *rows);

/**
 * Adds a job to a queue; its id. `payload` is text, JSON by convention, and stored as it is. `opts` may be NULL for the
 * defaults.
 *
 * If the job has a unique key that another one has, nothing is added, and the id is that of the other job: HONKER_EXISTS if
 * it stays as it is, HONKER_REPLACED if it has become this one (see `on_conflict`).
 */
HONKER_API
honker_status_t honker_enqueue(honker_db_t *db,
                               honker_tx_t *tx,
                               const uint8_t *queue,
                               size_t queue_len,
                               const uint8_t *payload,
                               size_t payload_len,
                               const honker_enqueue_opts_t *opts,
                               int64_t *id_out,
                               honker_error_t **err);

/**
 * Adds jobs to any queues, all or none, in one commit. The first of the `specs` says how long each of them is.
 * `results_out` has room for `specs_len` results, and is given them in the order of the specs; the ids of those that are added
 * increase.
 */
HONKER_API
honker_status_t honker_enqueue_many(honker_db_t *db,
                                    honker_tx_t *tx,
                                    const honker_job_spec_t *specs,
                                    size_t specs_len,
                                    honker_enqueue_result_t *results_out,
                                    honker_error_t **err);

/**
 * The job is done: removes it. HONKER_LOST, and nothing changed, if `worker_id` does not hold it any more.
 */
HONKER_API
honker_status_t honker_ack(honker_db_t *db,
                           honker_tx_t *tx,
                           int64_t id,
                           const uint8_t *worker_id,
                           size_t worker_id_len,
                           honker_error_t **err);

/**
 * The jobs are done: removes those that `worker_id` still holds, in one commit; how many that were.
 */
HONKER_API
honker_status_t honker_ack_batch(honker_db_t *db,
                                 honker_tx_t *tx,
                                 const int64_t *ids,
                                 size_t ids_len,
                                 const uint8_t *worker_id,
                                 size_t worker_id_len,
                                 int64_t *acked_out,
                                 honker_error_t **err);

/**
 * The job could not be done now: it becomes due again in `delay_s` seconds, which may be negative, or, if its attempts
 * are used up, ends among the dead with the text `error`. HONKER_LOST, and nothing changed, if `worker_id` does not
 * hold it any more.
 */
HONKER_API
honker_status_t honker_retry(honker_db_t *db,
                             honker_tx_t *tx,
                             int64_t id,
                             const uint8_t *worker_id,
                             size_t worker_id_len,
                             int64_t delay_s,
                             const uint8_t *error,
                             size_t error_len,
                             honker_error_t **err);

/**
 * The job goes back: it is due again in `delay_s` seconds, which may be 0 or negative, and this attempt does not count.
 * HONKER_LOST, and nothing changed, if `worker_id` does not hold it any more.
 */
HONKER_API
honker_status_t honker_release(honker_db_t *db,
                               honker_tx_t *tx,
                               int64_t id,
                               const uint8_t *worker_id,
                               size_t worker_id_len,
                               int64_t delay_s,
                               honker_error_t **err);

/**
 * The job can never be done: it ends among the dead with the text `error`, whatever attempts it has left. HONKER_LOST,
 * and nothing changed, if `worker_id` does not hold it any more.
 */
HONKER_API
honker_status_t honker_fail(honker_db_t *db,
                            honker_tx_t *tx,
                            int64_t id,
                            const uint8_t *worker_id,
                            size_t worker_id_len,
                            const uint8_t *error,
                            size_t error_len,
                            honker_error_t **err);

/**
 * The job takes longer: its claim is valid for `extend_s` seconds from now, whatever it was before. HONKER_LOST, and
 * nothing changed, if `worker_id` does not hold it any more.
 */
HONKER_API
honker_status_t honker_heartbeat(honker_db_t *db,
                                 honker_tx_t *tx,
                                 int64_t id,
                                 const uint8_t *worker_id,
                                 size_t worker_id_len,
                                 int64_t extend_s,
                                 honker_error_t **err);

/**
 * Removes a job, pending or claimed; who holds it finds its claim lost. HONKER_EMPTY if there is no such job.
 */
HONKER_API
honker_status_t honker_cancel(honker_db_t *db,
                              honker_tx_t *tx,
                              int64_t id,
                              honker_error_t **err);

/**
 * Moves the expired jobs of a queue that nobody holds to the dead; how many that were. Claims pass them by without it.
 * Jobs that the file refuses to move (a user's trigger, a constraint) do not keep the others from it: the refusal is the
 * error once only such are left.
 */
HONKER_API
honker_status_t honker_sweep_expired(honker_db_t *db,
                                     honker_tx_t *tx,
                                     const uint8_t *queue,
                                     size_t queue_len,
                                     int64_t *swept_out,
                                     honker_error_t **err);

/**
 * When, in Unix seconds, a claim on the queue could next succeed without a further commit: a delayed job becoming due,
 * or a claim lapsing. HONKER_EMPTY if there is nothing to wait for. Jobs that can be claimed now do not count.
 */
HONKER_API
honker_status_t honker_queue_next_claim_at(honker_db_t *db,
                                           honker_tx_t *tx,
                                           const uint8_t *queue,
                                           size_t queue_len,
                                           int64_t *at_out,
                                           honker_error_t **err);

/**
 * One job, pending or claimed, as a JSON object with the keys id, queue, payload (a string), state ("pending", also while it
 * waits for a slot of its concurrency key, or "processing"), priority, run_at, worker_id, claim_expires_at, attempts, max_attempts, created_at and expires_at; null
 * for what is not set. The text is to be freed with `honker_text_free`. HONKER_EMPTY if there is no such job (any more).
 */
HONKER_API
honker_status_t honker_get_job(honker_db_t *db,
                               honker_tx_t *tx,
                               int64_t id,
                               honker_text_t **json_out,
                               honker_error_t **err);

/**
 * How many jobs there are, as JSON: for one queue an object with the keys queue, pending (due), delayed, claimed,
 * expired and dead; for `queue` NULL an array of such objects, one for each queue that has a job. It reads them all:
 * for people, not for loops. The text is to be freed with `honker_text_free`.
 */
HONKER_API
honker_status_t honker_queue_stats(honker_db_t *db,
                                   honker_tx_t *tx,
                                   const uint8_t *queue,
                                   size_t queue_len,
                                   honker_text_t **json_out,
                                   honker_error_t **err);

/**
 * What is known of each queue, as JSON: `{"queues": [{"queue", "counts", "wait", "run", "depth"}]}`, by name. `counts` are
 * those of enqueued, claimed, done, retried, released, dead and cancelled jobs; `wait` (from due to claimed) and `run` (from
 * claimed to settled) are histograms, an object of `sum_s` and `buckets` of `{"up_to_s", "count"}`, the last of which has
 * null; `depth` has due, delayed, processing, blocked, expired, dead and oldest_due_age_s. Everything is in seconds.
 *
 * Processes count what their own calls have committed, and add it to the file with a commit of theirs every ten seconds, and
 * when they close it: counts only grow, and miss what a killed process had not added. Those of this database are told at once,
 * those of others are late by that. What SQL of anybody else's inserts or deletes is not counted. It reads the indexes of all
 * jobs: for people, and for programs that ask every few seconds. The text is to be freed with `honker_text_free`.
 *
 * HONKER_BUSY if a commit that adds counts does not end for five seconds.
 */
HONKER_API
honker_status_t honker_metrics(honker_db_t *db,
                               honker_tx_t *tx,
                               honker_text_t **json_out,
                               honker_error_t **err);

/**
 * Sets what `settings_json` gives for a queue, a JSON object; null sets a key back to its default, and what is not given
 * stays as it is. It holds for every process from the commit on. The keys are paused (a boolean), concurrency (how many
 * claims may be valid at once), concurrency_per_key (how many of jobs with the same concurrency key), rate (an object of limit
 * and per_s: how many claims there may be in each window of so many seconds), max_attempts (of jobs whose enqueue does not
 * say), retry (an object of base_s, factor, max_s and jitter: when a job is tried again whose settlement does not say),
 * keep_done_s and keep_dead_s (for how many seconds done and dead jobs are kept).
 *
 * HONKER_INVALID, and nothing set, if a key is unknown or a value is none that it may have. Older versions of the library do not
 * write to the file any more.
 */
HONKER_API
honker_status_t honker_queue_configure(honker_db_t *db,
                                       honker_tx_t *tx,
                                       const uint8_t *queue,
                                       size_t queue_len,
                                       const uint8_t *settings_json,
                                       size_t settings_json_len,
                                       honker_error_t **err);

/**
 * What holds for a queue, whether or not there is one of that name: a JSON object with all keys of `honker_queue_configure`,
 * null for what has no default. The text is to be freed with `honker_text_free`.
 */
HONKER_API
honker_status_t honker_queue_settings(honker_db_t *db,
                                      honker_tx_t *tx,
                                      const uint8_t *queue,
                                      size_t queue_len,
                                      honker_text_t **json_out,
                                      honker_error_t **err);

/**
 * Every queue that has settings, or a job that is live, dead, or kept after it was done, by name: a JSON array of objects with
 * the key queue and those of `honker_queue_settings`. The text is to be freed with `honker_text_free`.
 */
HONKER_API
honker_status_t honker_queues(honker_db_t *db,
                              honker_tx_t *tx,
                              honker_text_t **json_out,
                              honker_error_t **err);

/**
 * Claims up to `n` jobs of a queue for `worker_id`, highest priority first, then oldest. Each is the worker's for
 * `timeout_s` seconds, the visibility timeout; if it is not settled or prolonged by then, it goes to whoever claims next.
 * A negative `n` means no limit. HONKER_EMPTY, and `jobs_out` NULL, if there is nothing to claim; otherwise the jobs are
 * to be freed with `honker_jobs_free`, which does not settle them.
 */
HONKER_API
honker_status_t honker_claim(honker_db_t *db,
                             honker_tx_t *tx,
                             const uint8_t *queue,
                             size_t queue_len,
                             const uint8_t *worker_id,
                             size_t worker_id_len,
                             int64_t n,
                             int64_t timeout_s,
                             honker_jobs_t **jobs_out,
                             honker_error_t **err);

/**
 * How many jobs there are.
 */
HONKER_API
honker_status_t honker_jobs_len(const honker_jobs_t *jobs,
                                size_t *len_out,
                                honker_error_t **err);

/**
 * The job at `index`, counted from 0.
 */
HONKER_API
honker_status_t honker_jobs_get(const honker_jobs_t *jobs,
                                size_t index,
                                honker_job_view_t *job_out,
                                honker_error_t **err);

/**
 * The jobs from the one at `first` on, counted from 0, as many as there are and `views_len` holds: all of a claim in one
 * call. `first` may be their number, and then there are none. Initialise the first view alone, with HONKER_JOB_VIEW_INIT:
 * all are as long as it says, one behind the other. Afterwards each says its own length, and those beyond `read_out` are
 * otherwise zero. `views_out` may be NULL if `views_len` is 0.
 */
HONKER_API
honker_status_t honker_jobs_views(const honker_jobs_t *jobs,
                                  size_t first,
                                  honker_job_view_t *views_out,
                                  size_t views_len,
                                  size_t *read_out,
                                  honker_error_t **err);

/**
 * The jobs that the worker has lost, from the one at `first` on, counted from 0, as many as there are and `views_len` holds.
 * Each loss is told once. The views are initialised and filled in as those of `honker_jobs_views`.
 */
HONKER_API
honker_status_t honker_jobs_lost(const honker_jobs_t *jobs,
                                 size_t first,
                                 honker_lost_job_view_t *views_out,
                                 size_t views_len,
                                 size_t *read_out,
                                 honker_error_t **err);

/**
 * Frees jobs; whoever claimed them still holds them. NULL is allowed, and freeing twice does no harm.
 */
HONKER_API
void honker_jobs_free(honker_jobs_t *jobs);

/**
 * Makes a waiter, to be freed with `honker_waiter_free`. Everything that is committed after this returned wakes it.
 *
 * HONKER_WATCHER if the file has been replaced by another since the database was opened. The first waiter of a file may
 * have to wait until nobody keeps it locked, at most for 5 s: HONKER_BUSY then, HONKER_INTERRUPTED after
 * `honker_interrupt`, HONKER_CLOSED_HANDLE after `honker_close`.
 *
 * If commits can be noticed, but in a worse way than was asked for (no events of the file system: polling), the call
 * succeeds and leaves an error of status HONKER_WATCHER in `err`, a warning, to be freed like any other. Each warning is
 * given once for a watcher; `honker_status` keeps them.
 */
HONKER_API
honker_status_t honker_waiter_new(honker_db_t *db,
                                  honker_waiter_t **waiter_out,
                                  honker_error_t **err);

/**
 * Waits until a consumer that was made with the waiter has work, at most for `timeout_ms` (-1: without end; 0: not at
 * all); `honker_waiter_ready` says which. Without consumers it waits for a commit, which may be one that was made since the
 * last wait, and for which there may be nothing new to see: it is a hint. HONKER_OK then; HONKER_TIMEOUT when the time is
 * over, HONKER_WOKEN after `honker_waiter_wake`, HONKER_CLOSED, from then on always, when the waiter was freed or the
 * database closed. `honker_interrupt` ends it with HONKER_INTERRUPTED, and HONKER_WATCHER says, from then on always, that
 * the file was replaced by another.
 */
HONKER_API
honker_status_t honker_wait(honker_waiter_t *waiter,
                            int64_t timeout_ms,
                            honker_error_t **err);

/**
 * Names the consumers of the waiter that have work, by their tokens: as many as `tokens_len` holds; the others stay ready,
 * and the descriptor readable. Does not block, but for one read of the file for all consumers after a commit. `count_out`
 * of 0 is fine: what made the descriptor readable was for none of them.
 *
 * A consumer is named once after it was made, and then when a commit is for it, or a deadline of its own has come. It is
 * not named again before its `next` has answered something else than HONKER_OK, or a worker's has given all the jobs that
 * were asked for (see `honker_worker_settle_next`); if that was an error, it is named half a second later. None is named after
 * its free returned.
 *
 * HONKER_OK, or HONKER_WOKEN after `honker_waiter_wake`, both with the tokens. HONKER_CLOSED when the waiter was freed or the
 * database closed, HONKER_WATCHER when the file was replaced by another: from then on always, and the descriptor stays
 * readable. `tokens_out` may be NULL if `tokens_len` is 0.
 */
HONKER_API
honker_status_t honker_waiter_ready(honker_waiter_t *waiter,
                                    uint64_t *tokens_out,
                                    size_t tokens_len,
                                    size_t *count_out,
                                    honker_error_t **err);

/**
 * Ends the waits that are running with this waiter, `honker_wait` and the `next` of its consumers, or else the next one,
 * with HONKER_WOKEN. Any thread, but not a signal handler.
 */
HONKER_API
honker_status_t honker_waiter_wake(honker_waiter_t *waiter,
                                   honker_error_t **err);

/**
 * A descriptor for `poll`, `epoll`, `kqueue` and event loops: readable when `honker_waiter_ready` may have something to say,
 * for a commit, a wake, or the earliest deadline of the consumers. Level-triggered loops spin unless they call that;
 * edge-triggered ones sleep unless they call it until it names fewer than it has room for. It is the waiter's: not to be
 * read from, written to or closed, and gone with the waiter. HONKER_UNSUPPORTED on Windows.
 */
HONKER_API
honker_status_t honker_waiter_fd(honker_waiter_t *waiter,
                                 int64_t *fd_out,
                                 honker_error_t **err);

/**
 * Frees a waiter. A wait that is running with it, and consumers made with it, end with HONKER_CLOSED. NULL is allowed,
 * and freeing twice does no harm.
 */
HONKER_API
void honker_waiter_free(honker_waiter_t *waiter);

/**
 * Makes something that tells of commits after this returned, and waits with `waiter`, which names it by `token`. To be
 * freed with `honker_updates_free`.
 */
HONKER_API
honker_status_t honker_updates_new(honker_db_t *db,
                                   honker_waiter_t *waiter,
                                   uint64_t token,
                                   honker_updates_t **updates_out,
                                   honker_error_t **err);

/**
 * HONKER_OK if something was committed since the last time this answered so, or when it is, within `timeout_ms` (-1:
 * without end; 0: not at all). Several commits may be told as one, and there may be nothing new to see: it is a hint.
 * Otherwise as for `honker_wait`: HONKER_TIMEOUT, HONKER_WOKEN or HONKER_CLOSED.
 */
HONKER_API
honker_status_t honker_updates_next(honker_updates_t *updates,
                                    int64_t timeout_ms,
                                    honker_error_t **err);

/**
 * Frees it. NULL is allowed, and freeing twice does no harm.
 */
HONKER_API
void honker_updates_free(honker_updates_t *updates);

/**
 * Makes a worker that claims from `queues` as `worker_id` and waits with `waiter`, which names it by `token`. The first
 * queue says how long each of them is. `opts` may be NULL for the defaults. To be freed with `honker_worker_free`.
 * HONKER_INVALID if there is no queue, or one of them twice.
 */
HONKER_API
honker_status_t honker_worker_new(honker_db_t *db,
                                  honker_waiter_t *waiter,
                                  uint64_t token,
                                  const honker_worker_queue_t *queues,
                                  size_t queues_len,
                                  const uint8_t *worker_id,
                                  size_t worker_id_len,
                                  const honker_worker_opts_t *opts,
                                  honker_worker_t **worker_out,
                                  honker_error_t **err);

/**
 * `honker_worker_settle_next` without settlements.
 */
HONKER_API
honker_status_t honker_worker_next(honker_worker_t *worker,
                                   int64_t n,
                                   int64_t timeout_ms,
                                   honker_jobs_t **jobs_out,
                                   honker_error_t **err);

/**
 * In one commit: settles what is finished, prolongs what runs if it is time to, retries what ran longer than it may, and
 * claims up to `n` jobs. If there is nothing to tell then, it waits, at most for `timeout_ms` (-1: without end; 0: not at
 * all); with an `n` of 0 or less, for jobs that are lost. To be called at least as often as claims have to be prolonged.
 *
 * A call that has claimed as many as it asked for, and has neither a lost job nor a refused settlement to tell, leaves the
 * worker waiting, as with an `n` of 0, for what is lost, its heartbeat and the end of a maximum run time. Who is told of those by
 * `honker_waiter_ready` need not ask again before it is named, or has something to settle; who is not asks on. To ask is right
 * at any time.
 *
 * HONKER_OK with what was claimed and what was lost (`honker_jobs_lost`), either of which may be none; to be freed with
 * `honker_jobs_free`. Otherwise as for `honker_wait`: HONKER_TIMEOUT, HONKER_WOKEN or HONKER_CLOSED. After any of these the
 * settlements are committed, and each has its status.
 *
 * A settlement may be refused by itself: a trigger of the user's raises, a constraint is violated, the delay leads to a time
 * that cannot be. Its `status` is then the error's (HONKER_CONSTRAINT, HONKER_SQL, HONKER_TOO_BIG, HONKER_INVALID), the
 * others are committed, and the call answers HONKER_OK without waiting and leaves an error in `err`, to be freed like any
 * other: of the status of the first that was refused, with the job and the reason of each. The job is as it was before: in
 * hand, prolonged, and lost to nobody. Whoever called gives it again later: with the same settlement if the reason may pass,
 * with HONKER_SETTLE_RETRY or HONKER_SETTLE_FAIL and the reason as its `error`, or gives it up with `honker_worker_settled`,
 * and its claim ends when its time is over. To give it again at once and without end would keep the writer busy.
 *
 * An error is one of the commit, and nothing has happened; or, if there were settlements, one of the claim, the look or the
 * wait that came after they were committed. The `status` of each settlement tells which: if all of them are the error's
 * status nothing was committed, and they can be given again; otherwise each says what has become of it, as above.
 */
HONKER_API
honker_status_t honker_worker_settle_next(honker_worker_t *worker,
                                          honker_settlement_t *settlements,
                                          size_t settlements_len,
                                          int64_t n,
                                          int64_t timeout_ms,
                                          honker_jobs_t **jobs_out,
                                          honker_error_t **err);

/**
 * The handler of a job has settled it through another connection than the worker's database, or gives it up to the end of its
 * claim: the worker has it in hand no more, does not prolong it, and does not tell that it is lost. HONKER_LOST if it was not in hand with this serial.
 */
HONKER_API
honker_status_t honker_worker_settled(honker_worker_t *worker,
                                      int64_t id,
                                      int64_t serial,
                                      honker_error_t **err);

/**
 * Frees a worker. The jobs it has in hand stay its own until their time is over. NULL is allowed, and freeing twice does no
 * harm.
 */
HONKER_API
void honker_worker_free(honker_worker_t *worker);

/**
 * The dead of a queue, or of all queues if `queue` is NULL, newest job first, at most `limit` unless that is negative:
 * a JSON array of objects with the keys id, queue, payload (a string), priority, run_at, attempts, max_attempts,
 * last_error, created_at and died_at. The text is to be freed with `honker_text_free`.
 */
HONKER_API
honker_status_t honker_dead_list(honker_db_t *db,
                                 honker_tx_t *tx,
                                 const uint8_t *queue,
                                 size_t queue_len,
                                 int64_t limit,
                                 honker_text_t **json_out,
                                 honker_error_t **err);

/**
 * Makes a dead job live again: pending, due now, with its id, priority, max_attempts, options and steps, no attempts used and no
 * expiry. HONKER_EMPTY if there is no such dead job; HONKER_EXISTS if it stays dead because another job has its unique key.
 */
HONKER_API
honker_status_t honker_dead_requeue(honker_db_t *db,
                                    honker_tx_t *tx,
                                    int64_t id,
                                    honker_error_t **err);

/**
 * Deletes the dead of a queue, or of all queues if `queue` is NULL, that died more than `older_than_s` seconds ago; how
 * many that were.
 */
HONKER_API
honker_status_t honker_dead_purge(honker_db_t *db,
                                  honker_tx_t *tx,
                                  const uint8_t *queue,
                                  size_t queue_len,
                                  int64_t older_than_s,
                                  int64_t *purged_out,
                                  honker_error_t **err);

/**
 * The dead of a queue, or of all queues if `queue` is NULL, by what they died of, the largest group first, at most 1,000: a
 * JSON array of objects with the keys error (a text in which # stands for a number or an id, or null), count, and newest, the
 * one that died last, as `honker_dead_list` has it. It reads all of the dead. The text is to be freed with `honker_text_free`.
 */
HONKER_API
honker_status_t honker_dead_groups(honker_db_t *db,
                                   honker_tx_t *tx,
                                   const uint8_t *queue,
                                   size_t queue_len,
                                   honker_text_t **json_out,
                                   honker_error_t **err);

/**
 * Live, dead and done jobs that a filter finds, a page of them, by id: a JSON object with the keys jobs, an array, and cursor,
 * the key `cursor` of the filter of the next page, or null. The text is to be freed with `honker_text_free`.
 *
 * `filter` is a JSON object of conditions that all have to be fulfilled: queue, state (one or an array of due, delayed,
 * processing, blocked, dead and done), min_id, max_id, worker_id, unique_key, concurrency_key, batch_id, metadata (an object of
 * texts, all of which the job has), error (a part of its text), created_from, created_to, ended_from, ended_to (inclusive); and
 * of order (newest, the default, or oldest), limit (1 to 1,000; default 100) and cursor. Each job has the keys id, queue, payload
 * (a string), state, priority, run_at, worker_id, claim_expires_at, attempts, max_attempts, created_at, expires_at, last_error,
 * died_at, finished_at, result, metadata, unique_key, concurrency_key, batch_id and max_run_s; what it does not have is null.
 *
 * At most 10,000 jobs are looked at: a page may be short, or empty, and have a cursor all the same. One without is the last.
 */
HONKER_API
honker_status_t honker_job_list(honker_db_t *db,
                                honker_tx_t *tx,
                                const uint8_t *filter,
                                size_t filter_len,
                                honker_text_t **json_out,
                                honker_error_t **err);

/**
 * Does an action to the jobs that a filter finds (`honker_job_list`), a page of them, in one transaction: a JSON object with the
 * keys changed, conflicts (how many were passed over because another job has their unique key, or because the file refuses the
 * change), left (how many are left; null where that would have to be counted) and cursor (as there). The text is to be freed
 * with `honker_text_free`.
 *
 * `action` is retry (dead jobs: pending again, with all attempts), run_now (delayed ones), cancel (live ones), delete (any), or
 * a JSON object: {"move": queue} (jobs that wait, and dead ones) or {"priority": number} (live ones). Jobs of other kinds are
 * left alone. The jobs are chosen without the write lock, and looked at again under it.
 */
HONKER_API
honker_status_t honker_job_apply(honker_db_t *db,
                                 honker_tx_t *tx,
                                 const uint8_t *filter,
                                 size_t filter_len,
                                 const uint8_t *action,
                                 size_t action_len,
                                 honker_text_t **json_out,
                                 honker_error_t **err);

/**
 * Creates a batch, to which jobs are added by the option `batch_id` of an enqueue; its id. `options` is a JSON object, whose
 * keys are all optional: `on_finished` and `on_success` say what is enqueued when the last job has ended, and when all are
 * done, each an object with `queue`, `payload` (texts) and `options`, an object with the options of an enqueue, whose
 * metadata are given a key `batch_id`; `keep_s` says for how many seconds the batch can be looked at after that (a day, if it
 * is not there). What cannot be is HONKER_INVALID.
 */
HONKER_API
honker_status_t honker_batch_create(honker_db_t *db,
                                    honker_tx_t *tx,
                                    const uint8_t *options,
                                    size_t options_len,
                                    int64_t *id_out,
                                    honker_error_t **err);

/**
 * Seals a batch: from now on only its running members may add jobs to it, and with the last of its jobs it is finished; at
 * once if none is pending. HONKER_EMPTY if it was sealed before. HONKER_INVALID if there is none of this id.
 */
HONKER_API
honker_status_t honker_batch_seal(honker_db_t *db,
                                  honker_tx_t *tx,
                                  int64_t id,
                                  honker_error_t **err);

/**
 * What is known of a batch, to be freed with `honker_text_free`: a JSON object with the keys total, pending, done, dead and
 * cancelled (how many jobs), sealed (true or false) and finished_at (null until then). HONKER_EMPTY if there is none of this
 * id, or no longer.
 */
HONKER_API
honker_status_t honker_batch_get(honker_db_t *db,
                                 honker_tx_t *tx,
                                 int64_t id,
                                 honker_text_t **json_out,
                                 honker_error_t **err);

/**
 * What was saved for a step of a job, to be freed with `honker_text_free`. HONKER_EMPTY if nothing was, or the job is gone.
 */
HONKER_API
honker_status_t honker_step_get(honker_db_t *db,
                                honker_tx_t *tx,
                                int64_t job_id,
                                const uint8_t *name,
                                size_t name_len,
                                honker_text_t **value_out,
                                honker_error_t **err);

/**
 * Saves what a step of a job has come to, a text, JSON by convention; in a transaction, together with what the step has
 * written there. A step is saved once: what is stored comes back, which is the first one if it was saved before, to be freed
 * with `honker_text_free`. HONKER_LOST, and nothing is saved, if `worker_id` has no valid claim on the job. Steps are kept for
 * as long as the job is live, dead, or kept as done.
 */
HONKER_API
honker_status_t honker_step_save(honker_db_t *db,
                                 honker_tx_t *tx,
                                 int64_t job_id,
                                 const uint8_t *worker_id,
                                 size_t worker_id_len,
                                 const uint8_t *name,
                                 size_t name_len,
                                 const uint8_t *value,
                                 size_t value_len,
                                 honker_text_t **value_out,
                                 honker_error_t **err);

/**
 * Adds a notification for the listeners of a channel; its id. They see it when it is committed.
 */
HONKER_API
honker_status_t honker_notify(honker_db_t *db,
                              honker_tx_t *tx,
                              const uint8_t *channel,
                              size_t channel_len,
                              const uint8_t *payload,
                              size_t payload_len,
                              int64_t *id_out,
                              honker_error_t **err);

/**
 * Deletes the notifications that are older than `older_than_s` seconds, and those that are not among the `max_keep`
 * newest; how many that were. HONKER_NO_TIME for either leaves that criterion out. A negative `max_keep` is
 * HONKER_INVALID.
 */
HONKER_API
honker_status_t honker_notifications_prune(honker_db_t *db,
                                           honker_tx_t *tx,
                                           int64_t older_than_s,
                                           int64_t max_keep,
                                           int64_t *pruned_out,
                                           honker_error_t **err);

/**
 * Sets for how many seconds notifications are kept: `options_json` is a JSON object with the key keep_s; null, the default: until
 * somebody prunes them. Whatever works a queue or leads schedules removes the others within a minute.
 */
HONKER_API
honker_status_t honker_notifications_configure(honker_db_t *db,
                                               honker_tx_t *tx,
                                               const uint8_t *options_json,
                                               size_t options_json_len,
                                               honker_error_t **err);

/**
 * Makes a listener for what is sent to a channel after this returned; it waits with `waiter`, which names it by `token`, and looks every
 * `fallback_ms` without having been woken (-1: never; 15000 is a good choice). To be freed with `honker_listener_free`.
 */
HONKER_API
honker_status_t honker_listener_new(honker_db_t *db,
                                    honker_waiter_t *waiter,
                                    uint64_t token,
                                    const uint8_t *channel,
                                    size_t channel_len,
                                    int64_t fallback_ms,
                                    honker_listener_t **listener_out,
                                    honker_error_t **err);

/**
 * The next notification; waits for it at most for `timeout_ms` (-1: without end; 0: not at all). Otherwise as for
 * `honker_wait`: HONKER_TIMEOUT, HONKER_WOKEN or HONKER_CLOSED.
 */
HONKER_API
honker_status_t honker_listener_next(honker_listener_t *listener,
                                     int64_t timeout_ms,
                                     honker_notification_view_t *notification_out,
                                     honker_error_t **err);

/**
 * Frees a listener. NULL is allowed, and freeing twice does no harm.
 */
HONKER_API
void honker_listener_free(honker_listener_t *listener);

/**
 * Appends an event to a topic; its offset. `key` may be NULL for none; an empty key is one that is not NULL.
 */
HONKER_API
honker_status_t honker_stream_publish(honker_db_t *db,
                                      honker_tx_t *tx,
                                      const uint8_t *topic,
                                      size_t topic_len,
                                      const uint8_t *key,
                                      size_t key_len,
                                      const uint8_t *payload,
                                      size_t payload_len,
                                      int64_t *offset_out,
                                      honker_error_t **err);

/**
 * The events of a topic after `offset`, oldest first, at most `limit` unless that is negative. HONKER_EMPTY, and
 * `events_out` NULL, if there is none; otherwise they are to be freed with `honker_events_free`.
 */
HONKER_API
honker_status_t honker_stream_read_since(honker_db_t *db,
                                         honker_tx_t *tx,
                                         const uint8_t *topic,
                                         size_t topic_len,
                                         int64_t offset,
                                         int64_t limit,
                                         honker_events_t **events_out,
                                         honker_error_t **err);

/**
 * Sets what is kept of a topic: `options_json` is a JSON object with the keys keep_s (for how many seconds an event is kept) and
 * keep_n (how many are, the newest ones). null removes one, and what is not given stays as it is. Whatever works a queue or
 * leads schedules removes the others within a minute, but none that a consumer which has saved an offset has not finished.
 */
HONKER_API
honker_status_t honker_stream_configure(honker_db_t *db,
                                        honker_tx_t *tx,
                                        const uint8_t *topic,
                                        size_t topic_len,
                                        const uint8_t *options_json,
                                        size_t options_json_len,
                                        honker_error_t **err);

/**
 * Removes the events of a topic that are not kept any more, oldest first; how many those were. `options_json` is a JSON object
 * with the keys keep_s and keep_n, for which the topic's own hold where they are not given, and past_consumers: true removes
 * what a consumer has not finished as well. In a transaction at most 1,000 are removed: call it until it answers 0.
 */
HONKER_API
honker_status_t honker_stream_trim(honker_db_t *db,
                                   honker_tx_t *tx,
                                   const uint8_t *topic,
                                   size_t topic_len,
                                   const uint8_t *options_json,
                                   size_t options_json_len,
                                   int64_t *trimmed_out,
                                   honker_error_t **err);

/**
 * Records that `consumer` has finished everything of a topic up to `offset`. HONKER_EMPTY, and nothing changed, if it
 * was that far already: an offset never goes back.
 */
HONKER_API
honker_status_t honker_stream_save_offset(honker_db_t *db,
                                          honker_tx_t *tx,
                                          const uint8_t *consumer,
                                          size_t consumer_len,
                                          const uint8_t *topic,
                                          size_t topic_len,
                                          int64_t offset,
                                          honker_error_t **err);

/**
 * The offset that `consumer` last saved for a topic; 0 if it never did.
 */
HONKER_API
honker_status_t honker_stream_get_offset(honker_db_t *db,
                                         honker_tx_t *tx,
                                         const uint8_t *consumer,
                                         size_t consumer_len,
                                         const uint8_t *topic,
                                         size_t topic_len,
                                         int64_t *offset_out,
                                         honker_error_t **err);

/**
 * How many events there are.
 */
HONKER_API
honker_status_t honker_events_len(const honker_events_t *events,
                                  size_t *len_out,
                                  honker_error_t **err);

/**
 * The event at `index`, counted from 0.
 */
HONKER_API
honker_status_t honker_events_get(const honker_events_t *events,
                                  size_t index,
                                  honker_event_view_t *event_out,
                                  honker_error_t **err);

/**
 * Frees events. NULL is allowed, and freeing twice does no harm.
 */
HONKER_API
void honker_events_free(honker_events_t *events);

/**
 * Makes a subscription to a topic that waits with `waiter`, which names it by `token`. `opts` may be NULL for the defaults.
 * To be freed with `honker_subscription_free`.
 */
HONKER_API
honker_status_t honker_subscription_new(honker_db_t *db,
                                        honker_waiter_t *waiter,
                                        uint64_t token,
                                        const uint8_t *topic,
                                        size_t topic_len,
                                        const honker_subscription_opts_t *opts,
                                        honker_subscription_t **subscription_out,
                                        honker_error_t **err);

/**
 * The next event, which finishes the one before; waits for it at most for `timeout_ms` (-1: without end; 0: not at all).
 * The texts of the view are valid until the next call with the subscription. Otherwise as for `honker_wait`:
 * HONKER_TIMEOUT, HONKER_WOKEN or HONKER_CLOSED.
 *
 * While the offset is to be saved and cannot be, that is the error, and no further event is delivered. An error that
 * follows another comes after half a second, or `timeout_ms` if that is shorter.
 */
HONKER_API
honker_status_t honker_subscription_next(honker_subscription_t *subscription,
                                         int64_t timeout_ms,
                                         honker_event_view_t *event_out,
                                         honker_error_t **err);

/**
 * The event in hand is finished.
 */
HONKER_API
honker_status_t honker_subscription_ack(honker_subscription_t *subscription,
                                        honker_error_t **err);

/**
 * Saves the offset of the last finished event now, if there is something to save.
 */
HONKER_API
honker_status_t honker_subscription_save(honker_subscription_t *subscription,
                                         honker_error_t **err);

/**
 * The offset of the last event that was delivered; where the subscription began if there was none.
 */
HONKER_API
honker_status_t honker_subscription_offset(honker_subscription_t *subscription,
                                           int64_t *offset_out,
                                           honker_error_t **err);

/**
 * Frees a subscription, saving the offset of the last finished event unless both `save_every_n` and `save_every_ms` are 0;
 * call `honker_subscription_save` before to know whether that worked. Waits for a lock for 100 ms at most: it may be called
 * by finalizers. After `honker_close` there is nothing left to save. NULL is allowed, and freeing twice does no harm.
 */
HONKER_API
void honker_subscription_free(honker_subscription_t *subscription);

/**
 * Saves the result of a job, replacing an earlier one. It expires after `ttl_s` seconds, or never if that is 0 or less.
 */
HONKER_API
honker_status_t honker_result_save(honker_db_t *db,
                                   honker_tx_t *tx,
                                   int64_t job_id,
                                   const uint8_t *value,
                                   size_t value_len,
                                   int64_t ttl_s,
                                   honker_error_t **err);

/**
 * The result of a job, to be freed with `honker_text_free`. HONKER_EMPTY if there is none (yet, or any more).
 */
HONKER_API
honker_status_t honker_result_get(honker_db_t *db,
                                  honker_tx_t *tx,
                                  int64_t job_id,
                                  honker_text_t **value_out,
                                  honker_error_t **err);

/**
 * Deletes expired results; how many that were.
 */
HONKER_API
honker_status_t honker_result_sweep(honker_db_t *db,
                                    honker_tx_t *tx,
                                    int64_t *swept_out,
                                    honker_error_t **err);

/**
 * Makes something that waits for the result of a job with `waiter`, which names it by `token`. To be freed with
 * `honker_result_wait_free`.
 */
HONKER_API
honker_status_t honker_result_wait_new(honker_db_t *db,
                                       honker_waiter_t *waiter,
                                       uint64_t token,
                                       int64_t job_id,
                                       honker_result_wait_t **wait_out,
                                       honker_error_t **err);

/**
 * The result of the job, to be freed with `honker_text_free`; waits for it at most for `timeout_ms` (-1: without end; 0: not
 * at all). A job that ends without a result never has one. Otherwise as for `honker_wait`: HONKER_TIMEOUT, HONKER_WOKEN or
 * HONKER_CLOSED.
 */
HONKER_API
honker_status_t honker_result_wait_next(honker_result_wait_t *wait,
                                        int64_t timeout_ms,
                                        honker_text_t **value_out,
                                        honker_error_t **err);

/**
 * Frees it. NULL is allowed, and freeing twice does no harm.
 */
HONKER_API
void honker_result_wait_free(honker_result_wait_t *wait);

/**
 * Takes a lock for `owner`, for `ttl_s` seconds, if it is free or the time of who had it is over. HONKER_OK if `owner`
 * has it now; having had it before does not prolong it. HONKER_HELD if somebody else has it.
 */
HONKER_API
honker_status_t honker_lock_acquire(honker_db_t *db,
                                    honker_tx_t *tx,
                                    const uint8_t *name,
                                    size_t name_len,
                                    const uint8_t *owner,
                                    size_t owner_len,
                                    int64_t ttl_s,
                                    honker_error_t **err);

/**
 * Prolongs a lock to `ttl_s` seconds from now. HONKER_LOST if `owner` does not have it any more; one that ran out is
 * its owner's still, as long as nobody took it. `ttl_s` must be positive.
 */
HONKER_API
honker_status_t honker_lock_renew(honker_db_t *db,
                                  honker_tx_t *tx,
                                  const uint8_t *name,
                                  size_t name_len,
                                  const uint8_t *owner,
                                  size_t owner_len,
                                  int64_t ttl_s,
                                  honker_error_t **err);

/**
 * Gives a lock up. HONKER_LOST if `owner` does not have it (any more).
 */
HONKER_API
honker_status_t honker_lock_release(honker_db_t *db,
                                    honker_tx_t *tx,
                                    const uint8_t *name,
                                    size_t name_len,
                                    const uint8_t *owner,
                                    size_t owner_len,
                                    honker_error_t **err);

/**
 * Counts one use of `name` if there were fewer than `limit` in the current window of `per_s` seconds; HONKER_LIMITED,
 * and nothing counted, otherwise. Windows are aligned to multiples of their length. Both numbers must be positive.
 */
HONKER_API
honker_status_t honker_rate_limit_try(honker_db_t *db,
                                      honker_tx_t *tx,
                                      const uint8_t *name,
                                      size_t name_len,
                                      int64_t limit,
                                      int64_t per_s,
                                      honker_error_t **err);

/**
 * Deletes the counts of windows that began more than `older_than_s` seconds ago; how many that were.
 */
HONKER_API
honker_status_t honker_rate_limit_sweep(honker_db_t *db,
                                        honker_tx_t *tx,
                                        int64_t older_than_s,
                                        int64_t *swept_out,
                                        honker_error_t **err);

/**
 * Adds a schedule, or replaces the one of that name: at every boundary of `expression` a job with `payload` goes into
 * `queue`. `opts` may be NULL for the defaults.
 *
 * An expression has five fields (minute, hour, day of month, month, day of week), six with seconds in front, or is a
 * macro such as @daily or an interval such as "@every 5m"; "CRON_TZ=Europe/Berlin " before it sets the time zone, which
 * otherwise is this process's. What cannot be parsed, or never comes, is HONKER_INVALID and changes nothing. The next
 * boundary of a schedule that is registered again stays if the expression is the same, and a paused schedule stays
 * paused. What is not said of its jobs again is forgotten.
 */
HONKER_API
honker_status_t honker_scheduler_register(honker_db_t *db,
                                          honker_tx_t *tx,
                                          const uint8_t *name,
                                          size_t name_len,
                                          const uint8_t *queue,
                                          size_t queue_len,
                                          const uint8_t *expression,
                                          size_t expression_len,
                                          const uint8_t *payload,
                                          size_t payload_len,
                                          const honker_schedule_opts_t *opts,
                                          honker_error_t **err);

/**
 * Removes a schedule; jobs it has enqueued stay. HONKER_EMPTY if there is none of that name.
 */
HONKER_API
honker_status_t honker_scheduler_unregister(honker_db_t *db,
                                            honker_tx_t *tx,
                                            const uint8_t *name,
                                            size_t name_len,
                                            honker_error_t **err);

/**
 * Changes parts of a schedule. HONKER_EMPTY, and nothing changed, if there is none of that name or `changes` names no
 * field.
 */
HONKER_API
honker_status_t honker_scheduler_update(honker_db_t *db,
                                        honker_tx_t *tx,
                                        const uint8_t *name,
                                        size_t name_len,
                                        const honker_schedule_update_t *changes,
                                        honker_error_t **err);

/**
 * Pauses a schedule. HONKER_EMPTY if there is none of that name, or it is paused already.
 */
HONKER_API
honker_status_t honker_scheduler_pause(honker_db_t *db,
                                       honker_tx_t *tx,
                                       const uint8_t *name,
                                       size_t name_len,
                                       honker_error_t **err);

/**
 * Resumes a paused schedule; the boundaries it missed are fired by the next tick, 64 at most. HONKER_EMPTY if there is
 * none of that name, or it is not paused.
 */
HONKER_API
honker_status_t honker_scheduler_resume(honker_db_t *db,
                                        honker_tx_t *tx,
                                        const uint8_t *name,
                                        size_t name_len,
                                        honker_error_t **err);

/**
 * Enqueues a job for every boundary up to `until`, in Unix seconds, that no tick has fired yet, of every schedule that is
 * not paused: oldest first, 64 for each schedule at most, the rest is skipped. HONKER_NO_TIME for `until` means now. Any
 * number of processes may tick at the same time: each boundary is fired once. HONKER_EMPTY, and `fires_out` NULL, if
 * nothing was due; otherwise what was fired is to be freed with `honker_fires_free`.
 *
 * A schedule that the file refuses to fire (a trigger of the user's raises, a constraint is violated) stays due and stops
 * no other. If nothing else is fired, the reason is the error.
 */
HONKER_API
honker_status_t honker_scheduler_tick(honker_db_t *db,
                                      honker_tx_t *tx,
                                      int64_t until,
                                      honker_fires_t **fires_out,
                                      honker_error_t **err);

/**
 * The next boundary, in Unix seconds, of any schedule that is not paused; it may lie in the past. HONKER_EMPTY if there
 * is none.
 */
HONKER_API
honker_status_t honker_scheduler_soonest(honker_db_t *db,
                                         honker_tx_t *tx,
                                         int64_t *at_out,
                                         honker_error_t **err);

/**
 * All schedules by name: a JSON array of objects with the keys name, queue, cron_expr, payload (a string), priority,
 * expires_s, next_fire_at, enabled, max_attempts (of the queue, if the schedule does not say), error (why it does not fire, or
 * null), overlap (allow or skip) and options (an object: what else its jobs are enqueued with). The text is to be freed with
 * `honker_text_free`.
 */
HONKER_API
honker_status_t honker_scheduler_list(honker_db_t *db,
                                      honker_tx_t *tx,
                                      honker_text_t **json_out,
                                      honker_error_t **err);

/**
 * The first boundary of an expression after `from`, both in Unix seconds. It needs no database.
 */
HONKER_API
honker_status_t honker_cron_next_after(const uint8_t *expression,
                                       size_t expression_len,
                                       int64_t from,
                                       int64_t *at_out,
                                       honker_error_t **err);

/**
 * How many fires there are.
 */
HONKER_API
honker_status_t honker_fires_len(const honker_fires_t *fires,
                                 size_t *len_out,
                                 honker_error_t **err);

/**
 * The fire at `index`, counted from 0.
 */
HONKER_API
honker_status_t honker_fires_get(const honker_fires_t *fires,
                                 size_t index,
                                 honker_fire_view_t *fire_out,
                                 honker_error_t **err);

/**
 * Frees fires. NULL is allowed, and freeing twice does no harm.
 */
HONKER_API
void honker_fires_free(honker_fires_t *fires);

/**
 * Makes a candidate called `owner`, a name that nobody else may have, which waits with `waiter`, and is named by
 * `token` there. To be freed with `honker_leader_free`.
 */
HONKER_API
honker_status_t honker_leader_new(honker_db_t *db,
                                  honker_waiter_t *waiter,
                                  uint64_t token,
                                  const uint8_t *owner,
                                  size_t owner_len,
                                  honker_leader_t **leader_out,
                                  honker_error_t **err);

/**
 * Leads, or stands by, until something has been fired, at most for `timeout_ms` (-1: without end; 0: one turn). To be
 * called again and again: only in here is the leader's claim renewed, which has to happen every 20 seconds. HONKER_OK with
 * what was fired, to be freed with `honker_fires_free`; otherwise as for `honker_wait`: HONKER_TIMEOUT, HONKER_WOKEN or
 * HONKER_CLOSED. On an error leadership is given up, and taken again by the next call if it can be.
 *
 * A schedule that the file refuses to fire (a trigger of the user's raises, a constraint is violated) stays due and stops
 * no other: it is tried again twice a second, and the reason is in the `warnings` of `honker_status`.
 */
HONKER_API
honker_status_t honker_leader_next(honker_leader_t *leader,
                                   int64_t timeout_ms,
                                   honker_fires_t **fires_out,
                                   honker_error_t **err);

/**
 * Whether it leads, as far as it knows: 1 or 0.
 */
HONKER_API
honker_status_t honker_leader_leads(honker_leader_t *leader,
                                    int64_t *leads_out,
                                    honker_error_t **err);

/**
 * Gives leadership up, so that somebody who stands by takes over at once.
 */
HONKER_API
honker_status_t honker_leader_resign(honker_leader_t *leader,
                                     honker_error_t **err);

/**
 * Frees a candidate, giving leadership up; call `honker_leader_resign` before to know whether that worked. Waits for a lock
 * for 100 ms at most: it may be called by finalizers. NULL is allowed, and freeing twice does no harm.
 */
HONKER_API
void honker_leader_free(honker_leader_t *leader);

/**
 * Makes a worker of the outbox `name` that claims as `worker_id` and waits with `waiter`, which names it by `token`. `opts` may be NULL for the
 * defaults. To be freed with `honker_outbox_free`.
 */
HONKER_API
honker_status_t honker_outbox_new(honker_db_t *db,
                                  honker_waiter_t *waiter,
                                  uint64_t token,
                                  const uint8_t *name,
                                  size_t name_len,
                                  const uint8_t *worker_id,
                                  size_t worker_id_len,
                                  const honker_outbox_opts_t *opts,
                                  honker_outbox_t **outbox_out,
                                  honker_error_t **err);

/**
 * The next job to deliver, one; waits for it at most for `timeout_ms` (-1: without end; 0: not at all). HONKER_OK with the
 * job, to be freed with `honker_jobs_free`; otherwise as for `honker_wait`: HONKER_TIMEOUT, HONKER_WOKEN or HONKER_CLOSED.
 */
HONKER_API
honker_status_t honker_outbox_next(honker_outbox_t *outbox,
                                   int64_t timeout_ms,
                                   honker_jobs_t **jobs_out,
                                   honker_error_t **err);

/**
 * The job was delivered: removes it. HONKER_LOST if it was not this worker's any more.
 */
HONKER_API
honker_status_t honker_outbox_delivered(honker_outbox_t *outbox,
                                        int64_t id,
                                        honker_error_t **err);

/**
 * The delivery failed for the `attempts`th time, as the job says: it is tried again later or, if its attempts are used
 * up, ends among the dead with the text `error`. HONKER_LOST if it was not this worker's any more.
 */
HONKER_API
honker_status_t honker_outbox_failed(honker_outbox_t *outbox,
                                     int64_t id,
                                     int64_t attempts,
                                     const uint8_t *error,
                                     size_t error_len,
                                     honker_error_t **err);

/**
 * Frees a worker of an outbox. NULL is allowed, and freeing twice does no harm.
 */
HONKER_API
void honker_outbox_free(honker_outbox_t *outbox);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* HONKER_H */
