/*
 * The operations on a database, with or without a transaction: arguments in, one call, the answer out.
 *
 * Each is a NIF that only decides where the call runs (nif.h has the rule), and the call itself.
 */
#include "nif.h"

/* Calls of this many processes may wait for an open transaction within libhonker, in the order they came; all others
 * wait in Elixir, where it costs no thread. */
#define WAITING_MAX 3

typedef term (*call_t)(ErlNifEnv *, int, const term[]);

static int is_mine(ErlNifEnv *env, db_t *db, int *open) {
  ErlNifPid self;
  enif_self(env, &self);
  enif_mutex_lock(db->lock);
  *open = db->tx != NULL;
  const int mine = *open && enif_compare_pids(&db->tx_owner, &self) == 0;
  enif_mutex_unlock(db->lock);
  return mine;
}

static term schedule(ErlNifEnv *env, const char *name, call_t call, int kind, int argc, const term argv[]) {
  db_t *db;
  if (!get_db(env, argv[0], &db)) return enif_make_badarg(env);
  if (!enif_is_identical(argv[1], atom_nil)) {
    return enif_schedule_nif(env, name, ERL_NIF_DIRTY_JOB_CPU_BOUND, call, argc, argv);
  }
  if (kind == WRITES) {
    int open;
    if (is_mine(env, db, &open)) {
      return failure(env, HONKER_MISUSE,
                     "this process has a transaction of this database open, and would wait for itself: "
                     "take part in the transaction, or end it first");
    }
    if (open && atomic_load(&db->writing) >= WAITING_MAX) {
      return failure(env, HONKER_BUSY, "a transaction of this database is open");
    }
  }
  return enif_schedule_nif(env, name, ERL_NIF_DIRTY_JOB_IO_BOUND, call, argc, argv);
}

/* Whether one more query may run. */
static int enter_query(db_t *db) {
  if (atomic_fetch_add(&db->querying, 1) < db->queries_max) {
    if (atomic_fetch_add(&querying, 1) < queries_max) return 1;
    atomic_fetch_sub(&querying, 1);
  }
  atomic_fetch_sub(&db->querying, 1);
  return 0;
}

static void leave_query(db_t *db) {
  atomic_fetch_sub(&querying, 1);
  atomic_fetch_sub(&db->querying, 1);
}

/* Makes sure that there is something to work on, does it, and cleans up. */
static term perform(ErlNifEnv *env, const term argv[], int kind, term (*body)(struct in *, const term[])) {
  db_t *db;
  tx_t *tx = NULL;
  if (!get_db(env, argv[0], &db)) return enif_make_badarg(env);
  struct in in = {.env = env, .of = db, .db = atomic_load(&db->handle)};
  if (in.db == NULL) return closed(env);
  if (!enif_is_identical(argv[1], atom_nil)) {
    if (!enif_get_resource(env, argv[1], tx_type, (void **)&tx)) {
      return failure(env, HONKER_INVALID, "tx has to be a transaction");
    }
    in.tx = atomic_load(&tx->handle);
    if (in.tx == NULL) return failure(env, HONKER_MISUSE, "the transaction is over");
  }
  if (tx != NULL) kind = READS;
  if (kind == QUERIES && !enter_query(db)) {
    return failure(env, HONKER_BUSY, "as many queries as may be are running (readers_max, or the emulator's +SDio)");
  }
  if (kind == WRITES) atomic_fetch_add(&db->writing, 1);
  const term answered = body(&in, argv);
  if (kind == WRITES) atomic_fetch_sub(&db->writing, 1);
  if (kind == QUERIES) leave_query(db);
  if (in.err != NULL) lib.error_free(in.err);
  return answered;
}

#define KIND(name, arity, kind) enum { kind_##name = kind };
OPERATIONS(KIND)

#define OP(name)                                                              \
  static term body_##name(struct in *in, const term argv[]);                  \
  static FUNCTION(call_##name) {                                              \
    (void)argc;                                                               \
    return perform(env, argv, kind_##name, body_##name);                    \
  }                                                                           \
  FUNCTION(op_##name) { return schedule(env, #name, call_##name, kind_##name, argc, argv); } \
  static term body_##name(struct in *in, const term argv[])
#define UNUSED (void)argv

/* An operation that says only whether it was done, one that answers a number, and one that answers a text: its arguments, and
 * how they are passed on. */
#define DONE(name, arguments, ...)                                                           \
  OP(name) {                                                                                 \
    arguments;                                                                               \
    return done(in, lib.name(in->db, in->tx, __VA_ARGS__, &in->err));                        \
  }
#define NUMBER(name, arguments, ...)                                                         \
  OP(name) {                                                                                 \
    int64_t out = 0;                                                                         \
    arguments;                                                                               \
    return number(in, lib.name(in->db, in->tx, ##__VA_ARGS__, &out, &in->err), &out);        \
  }
#define TEXT_OF(name, arguments, ...)                                                        \
  OP(name) {                                                                                 \
    honker_text_t *out = NULL;                                                               \
    arguments;                                                                               \
    return text_answer(in, lib.name(in->db, in->tx, ##__VA_ARGS__, &out, &in->err), &out);   \
  }

/* --- queues --- */

/* What most jobs have nothing of: a map, or nil. */
static int get_more(struct in *in, term more, honker_enqueue_opts_t *opts) {
  return enif_is_identical(more, atom_nil) ||
         (text_option(in, more, "concurrency_key", &opts->concurrency_key) &&
          option(in, more, "batch_id", &opts->batch_id) && option(in, more, "member_job_id", &opts->member_job_id) &&
          text_option(in, more, "member_worker_id", &opts->member_worker_id) &&
          text_option(in, more, "unique_key", &opts->unique_key) &&
          small_option(in, more, "unique_until", &opts->unique_until) &&
          small_option(in, more, "on_conflict", &opts->on_conflict) &&
          option(in, more, "unique_for_s", &opts->unique_for_s) && option(in, more, "max_run_s", &opts->max_run_s));
}

/* {queue, payload, run_at, delay, expires, priority, max_attempts, metadata, more}; `opts` is the job's own. */
static int get_spec(struct in *in, term t, honker_job_spec_t *spec, honker_enqueue_opts_t *opts) {
  const term *parts;
  int arity;
  *spec = (honker_job_spec_t)HONKER_JOB_SPEC_INIT;
  *opts = (honker_enqueue_opts_t)HONKER_ENQUEUE_OPTS_INIT;
  spec->opts = opts;
  if (!enif_get_tuple(in->env, t, &arity, &parts) || arity != 9) {
    in->refusal = failure(in->env, HONKER_INVALID, "a job has a queue, a payload and options");
    return 0;
  }
  return get_text(in, parts[0], "queue", &spec->queue) && get_text(in, parts[1], "payload", &spec->payload) &&
         get_time(in, parts[2], "run_at", &opts->run_at) && get_time(in, parts[3], "delay", &opts->delay_s) &&
         get_time(in, parts[4], "expires", &opts->expires_s) && get_int(in, parts[5], "priority", &opts->priority) &&
         get_time(in, parts[6], "max_attempts", &opts->max_attempts) &&
         get_optional_text(in, parts[7], "metadata", &opts->metadata) && get_more(in, parts[8], opts);
}

/* {:ok, {outcome, id}} */
OP(enqueue) {
  honker_job_spec_t spec;
  honker_enqueue_opts_t opts;
  int64_t id = 0;
  if (!get_spec(in, argv[2], &spec, &opts)) return in->refusal;
  const honker_status_t status =
      lib.enqueue(in->db, in->tx, B(spec.queue), B(spec.payload), &opts, &id, &in->err);
  return status < 0 ? done(in, status) : answer(in, HONKER_OK, enqueued(in->env, status, id));
}

/* As many of a size as the list is long, to be freed; or NULL with a refusal. */
static void *array(struct in *in, term list, unsigned *len, size_t size) {
  if (!enif_get_list_length(in->env, list, len)) {
    in->refusal = failure(in->env, HONKER_INVALID, "a list is expected");
    return NULL;
  }
  void *items = enif_alloc(*len * size + 1);
  if (items == NULL) in->refusal = failure(in->env, HONKER_INTERNAL, "out of memory");
  return items;
}

/* {:ok, [{outcome, id}]} */
OP(enqueue_many) {
  unsigned len;
  honker_job_spec_t *specs = array(in, argv[2], &len,
                                   sizeof *specs + sizeof(honker_enqueue_opts_t) + sizeof(honker_enqueue_result_t));
  if (specs == NULL) return in->refusal;
  honker_enqueue_opts_t *opts = (honker_enqueue_opts_t *)(specs + len);
  honker_enqueue_result_t *results = (honker_enqueue_result_t *)(opts + len);
  term head, tail = argv[2], answered;
  int fine = 1;
  for (unsigned i = 0; fine && i < len && enif_get_list_cell(in->env, tail, &head, &tail); ++i) {
    fine = get_spec(in, head, &specs[i], &opts[i]);
  }
  if (fine) {
    const honker_status_t status = lib.enqueue_many(in->db, in->tx, specs, len, results, &in->err);
    term list = enif_make_list(in->env, 0);
    for (unsigned i = len; status == HONKER_OK && i > 0; --i) {
      list = enif_make_list_cell(in->env, enqueued(in->env, results[i - 1].status, results[i - 1].id), list);
    }
    answered = answer(in, status, list);
  } else {
    answered = in->refusal;
  }
  enif_free(specs);
  return answered;
}

DONE(ack, INT(2, id); TEXT(3, worker_id), id, B(worker_id))

OP(ack_batch) {
  unsigned len;
  int64_t acked = 0;
  TEXT(3, worker_id);
  int64_t *ids = array(in, argv[2], &len, sizeof *ids);
  if (ids == NULL) return in->refusal;
  term head, tail = argv[2];
  int fine = 1;
  for (unsigned i = 0; fine && i < len && enif_get_list_cell(in->env, tail, &head, &tail); ++i) {
    fine = get_int(in, head, "id", &ids[i]);
  }
  const term answered =
      fine ? number(in, lib.ack_batch(in->db, in->tx, ids, len, B(worker_id), &acked, &in->err), &acked)
           : in->refusal;
  enif_free(ids);
  return answered;
}

DONE(retry, INT(2, id); TEXT(3, worker_id); INT(4, delay); TEXT(5, error), id, B(worker_id), delay, B(error))
DONE(fail, INT(2, id); TEXT(3, worker_id); TEXT(4, error), id, B(worker_id), B(error))
DONE(heartbeat, INT(2, id); TEXT(3, worker_id); INT(4, extend), id, B(worker_id), extend)
DONE(release, INT(2, id); TEXT(3, worker_id); INT(4, delay), id, B(worker_id), delay)
DONE(cancel, INT(2, id), id)
NUMBER(sweep_expired, TEXT(2, queue), B(queue))
NUMBER(queue_next_claim_at, TEXT(2, queue), B(queue))
TEXT_OF(get_job, INT(2, id), id)
TEXT_OF(queue_stats, OPTIONAL_TEXT(2, queue), B(queue))

OP(claim) {
  honker_jobs_t *jobs = NULL;
  TEXT(2, queue);
  TEXT(3, worker_id);
  INT(4, n);
  INT(5, visibility_timeout_s);
  return jobs_answer(
      in, lib.claim(in->db, in->tx, B(queue), B(worker_id), n, visibility_timeout_s, &jobs, &in->err), &jobs);
}

TEXT_OF(dead_list, OPTIONAL_TEXT(2, queue); INT(3, limit), B(queue), limit)
DONE(dead_requeue, INT(2, id), id)
NUMBER(dead_purge, OPTIONAL_TEXT(2, queue); INT(3, older_than_s), B(queue), older_than_s)
TEXT_OF(dead_groups, OPTIONAL_TEXT(2, queue), B(queue))
TEXT_OF(job_list, TEXT(2, filter), B(filter))
TEXT_OF(job_apply, TEXT(2, filter); TEXT(3, action), B(filter), B(action))
DONE(queue_configure, TEXT(2, queue); TEXT(3, settings), B(queue), B(settings))
TEXT_OF(queue_settings, TEXT(2, queue), B(queue))
TEXT_OF(queues, UNUSED)
TEXT_OF(metrics, UNUSED)

/* --- batches, steps --- */

NUMBER(batch_create, TEXT(2, options), B(options))
DONE(batch_seal, INT(2, id), id)
TEXT_OF(batch_get, INT(2, id), id)
TEXT_OF(step_get, INT(2, job_id); TEXT(3, name), job_id, B(name))
TEXT_OF(step_save, INT(2, job_id); TEXT(3, worker_id); TEXT(4, name); TEXT(5, value), job_id, B(worker_id), B(name),
        B(value))

/* --- notifications, streams --- */

NUMBER(notify, TEXT(2, channel); TEXT(3, payload), B(channel), B(payload))
NUMBER(notifications_prune, TIME(2, older_than_s); TIME(3, max_keep), older_than_s, max_keep)
NUMBER(stream_publish, TEXT(2, topic); OPTIONAL_TEXT(3, key); TEXT(4, payload), B(topic), B(key), B(payload))

OP(stream_read_since) {
  honker_events_t *events = NULL;
  TEXT(2, topic);
  INT(3, offset);
  INT(4, limit);
  return events_answer(in, lib.stream_read_since(in->db, in->tx, B(topic), offset, limit, &events, &in->err),
                       &events);
}

DONE(notifications_configure, TEXT(2, options), B(options))
DONE(stream_configure, TEXT(2, topic); TEXT(3, options), B(topic), B(options))
NUMBER(stream_trim, TEXT(2, topic); TEXT(3, options), B(topic), B(options))
DONE(stream_save_offset, TEXT(2, consumer); TEXT(3, topic); INT(4, offset), B(consumer), B(topic), offset)
NUMBER(stream_get_offset, TEXT(2, consumer); TEXT(3, topic), B(consumer), B(topic))

/* --- results, locks, rate limits --- */

DONE(result_save, INT(2, id); TEXT(3, value); INT(4, ttl), id, B(value), ttl)
TEXT_OF(result_get, INT(2, id), id)
NUMBER(result_sweep, UNUSED)
DONE(lock_acquire, TEXT(2, name); TEXT(3, owner); INT(4, ttl), B(name), B(owner), ttl)
DONE(lock_renew, TEXT(2, name); TEXT(3, owner); INT(4, ttl), B(name), B(owner), ttl)
DONE(lock_release, TEXT(2, name); TEXT(3, owner), B(name), B(owner))
DONE(rate_limit_try, TEXT(2, name); INT(3, limit); INT(4, per), B(name), limit, per)
NUMBER(rate_limit_sweep, INT(2, older_than_s), older_than_s)

/* --- schedules --- */

/* The last is a map of what else there is to be said, or nil. */
OP(scheduler_register) {
  honker_schedule_opts_t opts = HONKER_SCHEDULE_OPTS_INIT;
  honker_enqueue_opts_t job = HONKER_ENQUEUE_OPTS_INIT;
  TEXT(2, name);
  TEXT(3, queue);
  TEXT(4, schedule);
  TEXT(5, payload);
  if (!get_int(in, argv[6], "priority", &opts.priority) || !get_time(in, argv[7], "expires_s", &opts.expires_s) ||
      !get_time(in, argv[8], "max_attempts", &opts.max_attempts)) {
    return in->refusal;
  }
  if (!enif_is_identical(argv[9], atom_nil)) {
    if (!get_more(in, argv[9], &job) || !option(in, argv[9], "delay", &job.delay_s) ||
        !text_option(in, argv[9], "metadata", &job.metadata) ||
        !small_option(in, argv[9], "overlap", &opts.overlap)) {
      return in->refusal;
    }
    opts.job = &job;
  }
  return done(in, lib.scheduler_register(in->db, in->tx, B(name), B(queue), B(schedule), B(payload), &opts, &in->err));
}

DONE(scheduler_unregister, TEXT(2, name), B(name))

OP(scheduler_update) {
  honker_schedule_update_t changes = HONKER_SCHEDULE_UPDATE_INIT;
  TEXT(2, name);
  INT(3, fields);
  changes.fields = (uint64_t)fields;
  if (!get_optional_text(in, argv[4], "schedule", &changes.expression) ||
      !get_optional_text(in, argv[5], "payload", &changes.payload) ||
      !get_int(in, argv[6], "priority", &changes.priority) ||
      !get_time(in, argv[7], "expires_s", &changes.expires_s) ||
      !get_time(in, argv[8], "max_attempts", &changes.max_attempts)) {
    return in->refusal;
  }
  return done(in, lib.scheduler_update(in->db, in->tx, B(name), &changes, &in->err));
}

DONE(scheduler_pause, TEXT(2, name), B(name))
DONE(scheduler_resume, TEXT(2, name), B(name))

OP(scheduler_tick) {
  honker_fires_t *fires = NULL;
  TIME(2, now);
  return fires_answer(in, lib.scheduler_tick(in->db, in->tx, now, &fires, &in->err), &fires);
}

NUMBER(scheduler_soonest, UNUSED)
TEXT_OF(scheduler_list, UNUSED)

/* --- SQL --- */

static int get_value(struct in *in, term t, honker_value_t *value) {
  const term *pair;
  int arity;
  ErlNifSInt64 integer;
  double real;
  memset(value, 0, sizeof *value);
  if (enif_is_identical(t, atom_nil)) return 1;
  if (enif_get_int64(in->env, t, &integer)) {
    value->value_type = HONKER_TYPE_INTEGER;
    value->integer = integer;
  } else if (enif_get_double(in->env, t, &real)) {
    value->value_type = HONKER_TYPE_REAL;
    value->real = real;
  } else if (enif_is_binary(in->env, t)) {
    value->value_type = HONKER_TYPE_TEXT;
    return get_text(in, t, "parameter", &value->bytes);
  } else if (enif_get_tuple(in->env, t, &arity, &pair) && arity == 2 &&
             enif_is_identical(pair[0], atom(in->env, "blob")) && enif_is_binary(in->env, pair[1])) {
    value->value_type = HONKER_TYPE_BLOB;
    return get_text(in, pair[1], "parameter", &value->bytes);
  } else if (enif_is_identical(t, atom(in->env, "true")) || enif_is_identical(t, atom(in->env, "false"))) {
    value->value_type = HONKER_TYPE_INTEGER;
    value->integer = enif_is_identical(t, atom(in->env, "true"));
  } else {
    in->refusal = failure(in->env, HONKER_INVALID,
                          "a parameter has to be nil, a boolean, an integer of 64 bits, a float, a binary (text) or "
                          "{:blob, binary}");
    return 0;
  }
  return 1;
}

static term value_term(ErlNifEnv *env, const honker_value_t *value) {
  switch (value->value_type) {
    case HONKER_TYPE_INTEGER: return enif_make_int64(env, value->integer);
    case HONKER_TYPE_REAL: /* infinities are no floats in Erlang, and SQLite has no NaN */
      if (value->real - value->real == 0) return enif_make_double(env, value->real);
      return atom(env, value->real > 0 ? "infinity" : "neg_infinity");
    case HONKER_TYPE_TEXT: return binary(env, value->bytes);
    case HONKER_TYPE_BLOB: return enif_make_tuple2(env, atom(env, "blob"), binary(env, value->bytes));
    default: return atom_nil;
  }
}

/* {:ok, {columns, rows}} */
static term rows_answer(struct in *in, honker_status_t status, honker_rows_t *rows) {
  size_t height = 0, width = 0;
  if (status != HONKER_OK) return done(in, status);
  lib.rows_size(rows, &height, &width, NULL);
  term names = enif_make_list(in->env, 0), table = names;
  for (size_t column = width; column > 0; --column) {
    honker_bytes_t name = {NULL, 0};
    lib.rows_column(rows, column - 1, &name.data, &name.len, NULL);
    names = enif_make_list_cell(in->env, binary(in->env, name), names);
  }
  for (size_t row = height; row > 0; --row) {
    term cells = enif_make_list(in->env, 0);
    for (size_t column = width; column > 0; --column) {
      honker_value_t value = {0};
      lib.rows_get(rows, row - 1, column - 1, &value, NULL);
      cells = enif_make_list_cell(in->env, value_term(in->env, &value), cells);
    }
    table = enif_make_list_cell(in->env, cells, table);
  }
  lib.rows_free(rows);
  return answer(in, status, enif_make_tuple2(in->env, names, table));
}

static term statement(struct in *in, const term argv[], int query) {
  unsigned len;
  TEXT(2, sql);
  honker_value_t *params = array(in, argv[3], &len, sizeof *params);
  if (params == NULL) return in->refusal;
  term head, tail = argv[3], answered;
  int fine = 1;
  for (unsigned i = 0; fine && i < len && enif_get_list_cell(in->env, tail, &head, &tail); ++i) {
    fine = get_value(in, head, &params[i]);
  }
  if (!fine) {
    answered = in->refusal;
  } else if (query) {
    honker_rows_t *rows = NULL;
    const honker_status_t status = in->tx ? lib.tx_query(in->tx, B(sql), params, len, &rows, &in->err)
                                          : lib.query(in->db, B(sql), params, len, &rows, &in->err);
    answered = rows_answer(in, status, rows);
  } else {
    int64_t changes = 0;
    answered = number(in, lib.tx_execute(in->tx, B(sql), params, len, &changes, &in->err), &changes);
  }
  enif_free(params);
  return answered;
}

OP(query) { return statement(in, argv, 1); }
OP(tx_execute) { return statement(in, argv, 0); }

/* --- transactions --- */

OP(tx_begin) {
  db_t *db;
  ErlNifPid self;
  honker_tx_t *handle = NULL;
  const honker_status_t status = lib.tx_begin(in->db, &handle, &in->err);
  if (status != HONKER_OK) return done(in, status);
  get_db(in->env, argv[0], &db);
  enif_self(in->env, &self);
  tx_t *tx = enif_alloc_resource(tx_type, sizeof *tx);
  enif_keep_resource(db);
  tx->db = db;
  atomic_init(&tx->handle, handle);
  enif_mutex_lock(db->lock);
  db->tx = tx;
  db->tx_owner = self;
  enif_mutex_unlock(db->lock);
  /* A process that is dead by now never sees the transaction, which the destructor then ends. */
  enif_monitor_process(in->env, tx, &self, &tx->monitor);
  const term answered = answer(in, status, enif_make_resource(in->env, tx));
  enif_release_resource(tx);
  return answered;
}

static term end(struct in *in, const term argv[], __typeof__(honker_tx_commit) *how) {
  tx_t *tx;
  const honker_status_t status = how(in->tx, &in->err);
  /* Also after an error: either way it is over, and should another process be in the middle of a call with it, it is
   * rolled back when that returns. */
  if (enif_get_resource(in->env, argv[1], tx_type, (void **)&tx)) {
    enif_demonitor_process(in->env, tx, &tx->monitor);
    tx_over(tx);
  }
  return done(in, status);
}

OP(tx_commit) { return end(in, argv, lib.tx_commit); }
OP(tx_rollback) { return end(in, argv, lib.tx_rollback); }
