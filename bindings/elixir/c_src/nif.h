/*
 * What the parts of the NIF share: handles, arguments, answers.
 *
 * The rule that everything here follows: nothing blocks a scheduler, and nobody who holds the write lock ever stands
 * behind somebody who waits for it.
 *
 *  - Whatever may wait for the write lock runs on a dirty IO scheduler, and waits there for 20 ms at most; the rest of
 *    the busy timeout is waited for in Elixir (lib/honker/native.ex).
 *  - Queries without a transaction may run for any time: so many of them as leave schedulers for the others, and a
 *    connection for each (queries_max). The others wait in Elixir as well.
 *  - Whatever belongs to an open transaction, which has the lock, runs on a dirty CPU scheduler. Nothing waits there.
 *  - What is left of a process that has died, or of a term that was collected, is freed by a thread of its own, the
 *    reaper, because that may write to the file. Destructors and callbacks only hand things over to it.
 */
#ifndef HONKER_NIF_H
#define HONKER_NIF_H

#include <erl_nif.h>
#include <stdatomic.h>
#include <string.h>

#include "library.h"

typedef ERL_NIF_TERM term;

/* What a process waits with. The first two do not change; the rest is under the lock of its waiter. */
typedef struct waiting {
  uint64_t token;
  ErlNifEnv *tag_env;
  term tag;
  ErlNifPid who_waits;
  int somebody_waits, is_ready, is_woken;
  struct waiting *next;
} waiting_t;

#define WAITER_BUCKETS 64

/* See waiter.c. */
typedef struct {
  honker_waiter_t *handle;
  ErlNifEvent fd;
  ErlNifMutex *lock; /* for what follows */
  ErlNifMonitor monitor;
  int is_dispatched, is_over;
  char why_over[256];
  waiting_t *buckets[WAITER_BUCKETS]; /* by their tokens */
} waiter_t;

typedef struct {
  honker_db_t *_Atomic handle; /* NULL once it is closed */
  ErlNifMutex *lock;           /* for what follows */
  void *tx;                    /* the open transaction, not kept */
  ErlNifPid tx_owner;
  waiter_t *waiter; /* from the first consumer on */
  int queries_max;
  atomic_int querying; /* calls of `query` without a transaction that are within libhonker */
  atomic_int writing;  /* calls that write, without a transaction, and are within libhonker */
  atomic_long interrupts;
} db_t;

typedef struct {
  db_t *db;
  honker_tx_t *_Atomic handle; /* NULL once it is over */
  ErlNifMonitor monitor;
} tx_t;

/* A call: what it works on, and what it failed with. */
struct in {
  ErlNifEnv *env;
  db_t *of; /* whose handle `db` is, or was: it may be closed, and so unknown to the library, in the middle of the call */
  honker_db_t *db;
  honker_tx_t *tx;
  honker_error_t *err;
  term refusal; /* the answer, once an argument could not be used */
  int misused;  /* the library has said so */
};

extern ErlNifResourceType *db_type, *tx_type;
/* How many queries, of all databases, may run at once; and how many do. */
extern int queries_max;
extern atomic_int querying;
extern term atom_ok, atom_error, atom_nil;

/* --- answers --- */
term atom(ErlNifEnv *env, const char *name);
term binary(ErlNifEnv *env, honker_bytes_t bytes);
term optional_binary(ErlNifEnv *env, honker_bytes_t bytes);
term failure(ErlNifEnv *env, honker_status_t status, const char *message);
/* {:ok, value}, the outcome's atom, or {:error, ...}; frees the error. Those that take a pointer do so because it is
 * looked at after the call that stands in the argument before it. */
term answer(struct in *in, honker_status_t status, term value);
/* {outcome, id}: what has become of a job that was to be enqueued. */
term enqueued(ErlNifEnv *env, honker_status_t status, int64_t id);
term done(struct in *in, honker_status_t status);
term number(struct in *in, honker_status_t status, const int64_t *value);
term text_answer(struct in *in, honker_status_t status, honker_text_t **text);
term jobs_list(ErlNifEnv *env, const honker_jobs_t *jobs);
term jobs_answer(struct in *in, honker_status_t status, honker_jobs_t **jobs);
term events_answer(struct in *in, honker_status_t status, honker_events_t **events);
term fires_answer(struct in *in, honker_status_t status, honker_fires_t **fires);
term event_term(ErlNifEnv *env, const honker_event_view_t *event);

/* --- arguments: 0 if they cannot be used, with in->refusal set --- */
int get_text(struct in *in, term t, const char *name, honker_bytes_t *out);
int get_optional_text(struct in *in, term t, const char *name, honker_bytes_t *out);
int get_int(struct in *in, term t, const char *name, int64_t *out);
/* nil is HONKER_NO_TIME, and HONKER_NO_TIME is refused. */
int get_time(struct in *in, term t, const char *name, int64_t *out);
/* Of a map; what is not there, or nil, stays as it is. */
int option(struct in *in, term map, const char *name, int64_t *out);
int small_option(struct in *in, term map, const char *name, uint32_t *out);
int text_option(struct in *in, term map, const char *name, honker_bytes_t *out);
int real_option(struct in *in, term map, const char *name, double *out);

#define TEXT(i, n) \
  honker_bytes_t n; \
  if (!get_text(in, argv[i], #n, &n)) return in->refusal
#define OPTIONAL_TEXT(i, n) \
  honker_bytes_t n; \
  if (!get_optional_text(in, argv[i], #n, &n)) return in->refusal
#define INT(i, n) \
  int64_t n; \
  if (!get_int(in, argv[i], #n, &n)) return in->refusal
#define TIME(i, n) \
  int64_t n; \
  if (!get_time(in, argv[i], #n, &n)) return in->refusal
#define B(n) n.data, n.len

/* --- handles --- */
int get_db(ErlNifEnv *env, term t, db_t **db);
term closed(ErlNifEnv *env);
/* Frees `handle` with `free`, in the reaper's thread. */
void reap(void (*free)(void *), void *handle);

/* --- the other parts --- */
#define FUNCTION(name) term name(ErlNifEnv *env, int argc, const term argv[])
enum { READS, WRITES, QUERIES };
/* name, arity, and what it does */
#define OPERATIONS(X)                                                                                               \
  X(enqueue, 3, WRITES) X(enqueue_many, 3, WRITES) X(ack, 4, WRITES) X(ack_batch, 4, WRITES)                        \
  X(retry, 6, WRITES) X(fail, 5, WRITES) X(heartbeat, 5, WRITES) X(release, 5, WRITES)                              \
  X(cancel, 3, WRITES)                                                                                              \
  X(sweep_expired, 3, WRITES) X(queue_next_claim_at, 3, READS) X(get_job, 3, READS) X(queue_stats, 3, READS)        \
  X(claim, 6, WRITES) X(dead_list, 4, READS) X(dead_requeue, 3, WRITES) X(dead_purge, 4, WRITES)                    \
  X(notify, 4, WRITES) X(notifications_prune, 4, WRITES) X(stream_publish, 5, WRITES)                               \
  X(stream_read_since, 5, READS) X(stream_save_offset, 5, WRITES) X(stream_get_offset, 4, READS)                    \
  X(result_save, 5, WRITES) X(result_get, 3, READS) X(result_sweep, 2, WRITES) X(lock_acquire, 5, WRITES)           \
  X(lock_renew, 5, WRITES) X(lock_release, 4, WRITES) X(rate_limit_try, 5, WRITES)                                  \
  X(rate_limit_sweep, 3, WRITES) X(scheduler_register, 10, WRITES) X(scheduler_unregister, 3, WRITES)                \
  X(scheduler_update, 9, WRITES) X(scheduler_pause, 3, WRITES) X(scheduler_resume, 3, WRITES)                       \
  X(scheduler_tick, 3, WRITES) X(scheduler_soonest, 2, READS) X(scheduler_list, 2, READS) X(query, 4, QUERIES)      \
  X(tx_begin, 2, WRITES) X(tx_commit, 2, WRITES) X(tx_rollback, 2, WRITES) X(tx_execute, 4, WRITES)                 \
  X(queue_configure, 4, WRITES) X(queue_settings, 3, READS) X(queues, 2, READS) X(metrics, 2, READS)                \
  X(dead_groups, 3, READS) X(job_list, 3, READS) X(job_apply, 4, WRITES) X(batch_create, 3, WRITES)                 \
  X(batch_seal, 3, WRITES) X(batch_get, 3, READS) X(step_get, 4, READS) X(step_save, 6, WRITES)                     \
  X(notifications_configure, 3, WRITES) X(stream_configure, 4, WRITES) X(stream_trim, 4, WRITES)

#define DECLARE_OPERATION(name, arity, writes) FUNCTION(op_##name);
OPERATIONS(DECLARE_OPERATION)
#undef DECLARE_OPERATION

FUNCTION(consumer_new);
FUNCTION(consumer_next);
FUNCTION(consumer_wait);
FUNCTION(consumer_forget);
FUNCTION(consumer_wake);
FUNCTION(consumer_close);
FUNCTION(consumer_do);
int consumers_load(ErlNifEnv *env, ErlNifResourceFlags flags);

/* The native worker of a consumer, NULL if it is closed; 0 if it is no worker. */
int get_worker(struct in *in, term t, honker_worker_t **worker);
honker_status_t worker_make(struct in *in, honker_waiter_t *waiter, uint64_t token, const term *options,
                            honker_worker_t **worker);
/* As consumer_next of a worker that only claims. */
term worker_look(struct in *in, honker_worker_t *worker, int64_t n);
FUNCTION(worker_turn);

FUNCTION(dispatch);
FUNCTION(waiter_ready);
int waiter_load(ErlNifEnv *env, ErlNifResourceFlags flags);
/* The waiter of the database, not kept. */
honker_status_t waiter_of(struct in *in, db_t *db, waiter_t **out);
void waiter_enter(waiter_t *waiter, waiting_t *waiting);
/* Tells whoever waits that it is closed, unless `env` is NULL. */
int waiter_leave(ErlNifEnv *env, waiter_t *waiter, waiting_t *waiting);
/* It is about to be looked at: whatever it was told is out of date. */
void waiter_looks(waiter_t *waiter, waiting_t *waiting);
term waiter_wait(ErlNifEnv *env, waiter_t *waiter, waiting_t *waiting, term tag);
void waiter_forget(waiter_t *waiter, waiting_t *waiting);
/* Ends the wait that is running with it, or else the next one. */
void waiter_wake(ErlNifEnv *env, waiter_t *waiter, waiting_t *waiting);
/* Tells whoever waits that `why`. */
void waiter_tell_all(ErlNifEnv *env, waiter_t *waiter, const char *why);

void tx_over(tx_t *tx);

#endif
