/*
 * Every operation: how its arguments are written down, what it answers, and the call itself. A line
 * here is all that one takes: the synchronous and the asynchronous form are made of it.
 *
 * The signature has a letter for each argument that JavaScript gives after the database, the
 * operation and the transaction:
 *
 *   t text            i integer            h handle (of the library's)      e options of an enqueue
 * J jobs to enqueue T text or null    n integer or null    w (none) the waiter and a token  s, u of
 * a schedule         I ids V values of SQL   S settlements        Q, o queues, options of a worker
 * p, x of a subscription, an outbox   f handle that this call frees
 */
#include "addon.h"

#define DB call->db
#define DB_TX call->db, call->tx
#define N(at) call->slots[at].number
#define T(at) (const uint8_t *)call->slots[at].data, call->slots[at].len
#define P(at, type) ((type)call->slots[at].data)
#define LIST(at, type) ((type)call->slots[at].data), call->slots[at].len
#define WAIT call->waiter, call->token
#define INT_OUT &call->integer
#define OUT(type) ((type **)&call->pointer)
#define E &call->error

/* X(name, signature, out, flags, frees, function, arguments) */
#define OPERATIONS(X)                                                                             \
  X(status, "", TEXT, 0, NULL, status, (DB, OUT(honker_text_t), E))                               \
  X(interrupt, "", STATUS, 0, NULL, interrupt, (DB, E))                                           \
  X(close, "", STATUS, 0, NULL, close, (DB, E))                                                   \
  X(txBegin, "", HANDLE, WRITES | BEGINS, "tx", tx_begin, (DB, OUT(honker_tx_t), E))              \
  X(txCommit, "", STATUS, WRITES | ENDS, NULL, tx_commit, (call->tx, E))                          \
  X(txRollback, "", STATUS, WRITES | ENDS, NULL, tx_rollback, (call->tx, E))                      \
  X(txExecute, "tV", INTEGER, WRITES, NULL, tx_execute,                                           \
    (call->tx, T(0), LIST(1, const honker_value_t *), INT_OUT, E))                                \
  X(txQuery, "tV", ROWS, WRITES, NULL, tx_query,                                                  \
    (call->tx, T(0), LIST(1, const honker_value_t *), OUT(honker_rows_t), E))                     \
  X(query, "tV", ROWS, 0, NULL, query,                                                            \
    (DB, T(0), LIST(1, const honker_value_t *), OUT(honker_rows_t), E))                           \
  X(enqueue, "tte", ENQUEUED, WRITES, NULL, enqueue,                                              \
    (DB_TX, T(0), T(1), P(2, const honker_enqueue_opts_t *), INT_OUT, E))                         \
  X(enqueueMany, "J", RESULTS, WRITES, NULL, enqueue_many,                                        \
    (DB_TX, LIST(0, const honker_job_spec_t *), (honker_enqueue_result_t *)call->pointer, E))     \
  X(claim, "ttii", JOBS, WRITES, NULL, claim,                                                     \
    (DB_TX, T(0), T(1), N(2), N(3), OUT(honker_jobs_t), E))                                       \
  X(ack, "it", STATUS, WRITES, NULL, ack, (DB_TX, N(0), T(1), E))                                 \
  X(ackBatch, "It", INTEGER, WRITES, NULL, ack_batch,                                             \
    (DB_TX, LIST(0, const int64_t *), T(1), INT_OUT, E))                                          \
  X(retry, "itit", STATUS, WRITES, NULL, retry, (DB_TX, N(0), T(1), N(2), T(3), E))               \
  X(release, "iti", STATUS, WRITES, NULL, release, (DB_TX, N(0), T(1), N(2), E))                  \
  X(fail, "itt", STATUS, WRITES, NULL, fail, (DB_TX, N(0), T(1), T(2), E))                        \
  X(heartbeat, "iti", STATUS, WRITES, NULL, heartbeat, (DB_TX, N(0), T(1), N(2), E))              \
  X(cancel, "i", STATUS, WRITES, NULL, cancel, (DB_TX, N(0), E))                                  \
  X(sweepExpired, "t", INTEGER, WRITES, NULL, sweep_expired, (DB_TX, T(0), INT_OUT, E))           \
  X(nextClaimAt, "t", INTEGER, 0, NULL, queue_next_claim_at, (DB_TX, T(0), INT_OUT, E))           \
  X(getJob, "i", TEXT, 0, NULL, get_job, (DB_TX, N(0), OUT(honker_text_t), E))                    \
  X(queueStats, "T", TEXT, 0, NULL, queue_stats, (DB_TX, T(0), OUT(honker_text_t), E))            \
  X(metrics, "", TEXT, 0, NULL, metrics, (DB_TX, OUT(honker_text_t), E))                          \
  X(queueConfigure, "tt", STATUS, WRITES, NULL, queue_configure, (DB_TX, T(0), T(1), E))          \
  X(queueSettings, "t", TEXT, 0, NULL, queue_settings, (DB_TX, T(0), OUT(honker_text_t), E))      \
  X(queues, "", TEXT, 0, NULL, queues, (DB_TX, OUT(honker_text_t), E))                            \
  X(deadList, "Ti", TEXT, 0, NULL, dead_list, (DB_TX, T(0), N(1), OUT(honker_text_t), E))         \
  X(deadRequeue, "i", STATUS, WRITES, NULL, dead_requeue, (DB_TX, N(0), E))                       \
  X(deadPurge, "Ti", INTEGER, WRITES, NULL, dead_purge, (DB_TX, T(0), N(1), INT_OUT, E))          \
  X(deadGroups, "T", TEXT, 0, NULL, dead_groups, (DB_TX, T(0), OUT(honker_text_t), E))            \
  X(jobList, "t", TEXT, 0, NULL, job_list, (DB_TX, T(0), OUT(honker_text_t), E))                  \
  X(jobApply, "tt", TEXT, WRITES, NULL, job_apply, (DB_TX, T(0), T(1), OUT(honker_text_t), E))    \
  X(batchCreate, "t", INTEGER, WRITES, NULL, batch_create, (DB_TX, T(0), INT_OUT, E))             \
  X(batchSeal, "i", STATUS, WRITES, NULL, batch_seal, (DB_TX, N(0), E))                           \
  X(batchGet, "i", TEXT, 0, NULL, batch_get, (DB_TX, N(0), OUT(honker_text_t), E))                \
  X(stepGet, "it", TEXT, 0, NULL, step_get, (DB_TX, N(0), T(1), OUT(honker_text_t), E))           \
  X(stepSave, "ittt", TEXT, WRITES, NULL, step_save,                                              \
    (DB_TX, N(0), T(1), T(2), T(3), OUT(honker_text_t), E))                                       \
  X(notify, "tt", INTEGER, WRITES, NULL, notify, (DB_TX, T(0), T(1), INT_OUT, E))                 \
  X(notificationsPrune, "nn", INTEGER, WRITES, NULL, notifications_prune,                         \
    (DB_TX, N(0), N(1), INT_OUT, E))                                                              \
  X(notificationsConfigure, "t", STATUS, WRITES, NULL, notifications_configure, (DB_TX, T(0), E)) \
  X(streamPublish, "tTt", INTEGER, WRITES, NULL, stream_publish,                                  \
    (DB_TX, T(0), T(1), T(2), INT_OUT, E))                                                        \
  X(streamReadSince, "tii", EVENTS, 0, NULL, stream_read_since,                                   \
    (DB_TX, T(0), N(1), N(2), OUT(honker_events_t), E))                                           \
  X(streamConfigure, "tt", STATUS, WRITES, NULL, stream_configure, (DB_TX, T(0), T(1), E))        \
  X(streamTrim, "tt", INTEGER, WRITES, NULL, stream_trim, (DB_TX, T(0), T(1), INT_OUT, E))        \
  X(streamSaveOffset, "tti", STATUS, WRITES, NULL, stream_save_offset,                            \
    (DB_TX, T(0), T(1), N(2), E))                                                                 \
  X(streamGetOffset, "tt", INTEGER, 0, NULL, stream_get_offset, (DB_TX, T(0), T(1), INT_OUT, E))  \
  X(resultSave, "iti", STATUS, WRITES, NULL, result_save, (DB_TX, N(0), T(1), N(2), E))           \
  X(resultGet, "i", TEXT, 0, NULL, result_get, (DB_TX, N(0), OUT(honker_text_t), E))              \
  X(resultSweep, "", INTEGER, WRITES, NULL, result_sweep, (DB_TX, INT_OUT, E))                    \
  X(lockAcquire, "tti", STATUS, WRITES, NULL, lock_acquire, (DB_TX, T(0), T(1), N(2), E))         \
  X(lockRenew, "tti", STATUS, WRITES, NULL, lock_renew, (DB_TX, T(0), T(1), N(2), E))             \
  X(lockRelease, "tt", STATUS, WRITES, NULL, lock_release, (DB_TX, T(0), T(1), E))                \
  X(rateLimitTry, "tii", STATUS, WRITES, NULL, rate_limit_try, (DB_TX, T(0), N(1), N(2), E))      \
  X(rateLimitSweep, "i", INTEGER, WRITES, NULL, rate_limit_sweep, (DB_TX, N(0), INT_OUT, E))      \
  X(schedulerRegister, "tttts", STATUS, WRITES, NULL, scheduler_register,                         \
    (DB_TX, T(0), T(1), T(2), T(3), P(4, const honker_schedule_opts_t *), E))                     \
  X(schedulerUnregister, "t", STATUS, WRITES, NULL, scheduler_unregister, (DB_TX, T(0), E))       \
  X(schedulerUpdate, "tu", STATUS, WRITES, NULL, scheduler_update,                                \
    (DB_TX, T(0), P(1, const honker_schedule_update_t *), E))                                     \
  X(schedulerPause, "t", STATUS, WRITES, NULL, scheduler_pause, (DB_TX, T(0), E))                 \
  X(schedulerResume, "t", STATUS, WRITES, NULL, scheduler_resume, (DB_TX, T(0), E))               \
  X(schedulerTick, "n", FIRES, WRITES, NULL, scheduler_tick,                                      \
    (DB_TX, N(0), OUT(honker_fires_t), E))                                                        \
  X(schedulerSoonest, "", INTEGER, 0, NULL, scheduler_soonest, (DB_TX, INT_OUT, E))               \
  X(schedulerList, "", TEXT, 0, NULL, scheduler_list, (DB_TX, OUT(honker_text_t), E))             \
  X(waiterNew, "", HANDLE, 0, "waiter", waiter_new, (DB, OUT(honker_waiter_t), E))                \
  X(updatesNew, "w", HANDLE, 0, "updates", updates_new, (DB, WAIT, OUT(honker_updates_t), E))     \
  X(updatesNext, "h", STATUS, 0, NULL, updates_next, (P(0, honker_updates_t *), 0, E))            \
  X(listenerNew, "wti", HANDLE, 0, "listener", listener_new,                                      \
    (DB, WAIT, T(1), N(2), OUT(honker_listener_t), E))                                            \
  X(listenerNext, "h", NOTIFICATION, 0, NULL, listener_next,                                      \
    (P(0, honker_listener_t *), 0, &call->notification, E))                                       \
  X(resultWaitNew, "wi", HANDLE, 0, "result_wait", result_wait_new,                               \
    (DB, WAIT, N(1), OUT(honker_result_wait_t), E))                                               \
  X(resultWaitNext, "h", TEXT, 0, NULL, result_wait_next,                                         \
    (P(0, honker_result_wait_t *), 0, OUT(honker_text_t), E))                                     \
  X(subscriptionNew, "wtp", HANDLE, 0, "subscription", subscription_new,                          \
    (DB, WAIT, T(1), P(2, const honker_subscription_opts_t *), OUT(honker_subscription_t), E))    \
  X(subscriptionNext, "h", EVENT, WRITES, NULL, subscription_next,                                \
    (P(0, honker_subscription_t *), 0, &call->event, E))                                          \
  X(subscriptionAck, "h", STATUS, 0, NULL, subscription_ack, (P(0, honker_subscription_t *), E))  \
  X(subscriptionSave, "h", STATUS, WRITES, NULL, subscription_save,                               \
    (P(0, honker_subscription_t *), E))                                                           \
  X(subscriptionOffset, "h", INTEGER, 0, NULL, subscription_offset,                               \
    (P(0, honker_subscription_t *), INT_OUT, E))                                                  \
  X(workerNew, "wQto", HANDLE, 0, "worker", worker_new,                                           \
    (DB, WAIT, LIST(1, const honker_worker_queue_t *), T(2), P(3, const honker_worker_opts_t *),  \
     OUT(honker_worker_t), E))                                                                    \
  X(workerSettleNext, "hSi", SETTLED, WRITES, NULL, worker_settle_next,                           \
    (P(0, honker_worker_t *), LIST(1, honker_settlement_t *), N(2), 0, OUT(honker_jobs_t), E))    \
  X(workerSettled, "hii", STATUS, 0, NULL, worker_settled,                                        \
    (P(0, honker_worker_t *), N(1), N(2), E))                                                     \
  X(leaderNew, "wt", HANDLE, 0, "leader", leader_new, (DB, WAIT, T(1), OUT(honker_leader_t), E))  \
  X(leaderNext, "h", FIRES, WRITES, NULL, leader_next,                                            \
    (P(0, honker_leader_t *), 0, OUT(honker_fires_t), E))                                         \
  X(leaderResign, "h", STATUS, WRITES, NULL, leader_resign, (P(0, honker_leader_t *), E))         \
  X(outboxNew, "wttx", HANDLE, 0, "outbox", outbox_new,                                           \
    (DB, WAIT, T(1), T(2), P(3, const honker_outbox_opts_t *), OUT(honker_outbox_t), E))          \
  X(outboxNext, "h", JOBS, WRITES, NULL, outbox_next,                                             \
    (P(0, honker_outbox_t *), 0, OUT(honker_jobs_t), E))                                          \
  X(outboxDelivered, "hi", STATUS, WRITES, NULL, outbox_delivered,                                \
    (P(0, honker_outbox_t *), N(1), E))                                                           \
  X(outboxFailed, "hiit", STATUS, WRITES, NULL, outbox_failed,                                    \
    (P(0, honker_outbox_t *), N(1), N(2), T(3), E))

#define RUN(name, signature, out, flags, frees, function, arguments) \
  static honker_status_t run_##name(library_t *lib, call_t *call) {  \
    return lib->function arguments;                                  \
  }
OPERATIONS(RUN)

/* path, busy timeout, readers, durability, journal mode, checkpoint pages, watcher back end, poll
 * interval */
static honker_status_t run_open(library_t *lib, call_t *call) {
  honker_open_opts_t options = HONKER_OPEN_OPTS_INIT;
  options.busy_timeout_ms = N(1);
  options.readers_max = (uint32_t)N(2);
  options.durability = (uint32_t)N(3);
  options.journal_mode = (uint32_t)N(4);
  options.wal_autocheckpoint_pages = (uint32_t)N(5);
  options.watcher_backend = (honker_bytes_t){T(6)};
  options.watcher_poll_interval_ms = N(7);
  /* What this thread must not wait for is known here; the thread of the database waits. */
  options.nesting = HONKER_NESTING_WAIT;
  return lib->open(T(0), &options, &call->database->db, E);
}

static honker_status_t run_free(library_t *lib, call_t *call) {
  const handle_t *handle = P(0, const handle_t *);
  if (handle->pointer != NULL) handle->free(lib, handle->pointer);
  return HONKER_OK;
}

#define ROW(name, signature, out, flags, frees, function, arguments) \
  {#name, signature, OUT_##out, flags, run_##name, frees},
const operation_t operations[] = {{"open", "tiiiiiTi", OUT_STATUS, OPENS, run_open, NULL},
                                  {"free", "f", OUT_STATUS, 0, run_free, NULL},
                                  OPERATIONS(ROW)};
const size_t operations_count = sizeof operations / sizeof *operations;
