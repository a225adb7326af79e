/*
 * libhonker, loaded at run time: a table of its functions by their names without the "honker_".
 *
 * Threads: library_load takes a lock; once it has succeeded the table does not change.
 */
#ifndef HONKER_NIF_LIBRARY_H
#define HONKER_NIF_LIBRARY_H

#include <stddef.h>

#include "honker.h"

#define LIBRARY_FUNCTIONS(F)                                                                                   \
  F(abi_version) F(version) F(build_info)                                                                      \
  F(error_message) F(error_status) F(error_sqlite_code) F(error_sqlite_extended_code) F(error_free)            \
  F(text_get) F(text_free)                                                                                     \
  F(open) F(close) F(interrupt)                                                                                \
  F(tx_begin) F(tx_commit) F(tx_rollback) F(tx_free) F(tx_execute) F(tx_query) F(query)                        \
  F(rows_size) F(rows_column) F(rows_get) F(rows_free)                                                         \
  F(enqueue) F(enqueue_many) F(ack) F(ack_batch) F(retry) F(fail) F(heartbeat) F(cancel) F(sweep_expired)      \
  F(queue_next_claim_at) F(get_job) F(queue_stats) F(claim) F(jobs_len) F(jobs_get) F(jobs_free)               \
  F(waiter_new) F(wait) F(waiter_wake) F(waiter_fd) F(waiter_free)                                             \
  F(worker_new) F(worker_next) F(worker_free)                                                                  \
  F(dead_list) F(dead_requeue) F(dead_purge)                                                                   \
  F(notify) F(notifications_prune) F(listener_new) F(listener_next) F(listener_free)                           \
  F(stream_publish) F(stream_read_since) F(stream_save_offset) F(stream_get_offset)                            \
  F(events_len) F(events_get) F(events_free)                                                                   \
  F(subscription_new) F(subscription_next) F(subscription_ack) F(subscription_save) F(subscription_offset)     \
  F(subscription_free)                                                                                         \
  F(result_save) F(result_get) F(result_sweep)                                                                 \
  F(lock_acquire) F(lock_renew) F(lock_release) F(rate_limit_try) F(rate_limit_sweep)                          \
  F(scheduler_register) F(scheduler_unregister) F(scheduler_update) F(scheduler_pause) F(scheduler_resume)     \
  F(scheduler_tick) F(scheduler_soonest) F(scheduler_list) F(cron_next_after)                                  \
  F(fires_len) F(fires_get) F(fires_free)                                                                      \
  F(leader_new) F(leader_next) F(leader_leads) F(leader_resign) F(leader_free)                                 \
  F(outbox_new) F(outbox_next) F(outbox_delivered) F(outbox_failed) F(outbox_free)

struct library {
  size_t size; /* of this struct, once it is filled: a module that is loaded again may be of another version */
#define LIBRARY_FIELD(name) __typeof__(honker_##name) *name;
  LIBRARY_FUNCTIONS(LIBRARY_FIELD)
#undef LIBRARY_FIELD
};

extern struct library lib;

/* Loads libhonker from `path`. 0 if it could be, else `why` says what is wrong with it. */
int library_load(const char *path, char *why, size_t why_size);

#endif
