/*
 * The NIF of Honker.Native: databases, transactions, arguments, answers, the reaper, and the table of functions.
 */
#include "nif.h"

#include <limits.h>
#include <stdio.h>

/* How many dirty IO schedulers queries leave to others, if there are twice as many. */
#define OTHERS_MIN 4

ErlNifResourceType *db_type, *tx_type;
int queries_max;
atomic_int querying;
term atom_ok, atom_error, atom_nil;

/* --- answers --- */

term atom(ErlNifEnv *env, const char *name) { return enif_make_atom(env, name); }

term binary(ErlNifEnv *env, honker_bytes_t bytes) {
  term t;
  unsigned char *data = enif_make_new_binary(env, bytes.len, &t);
  if (bytes.len > 0) memcpy(data, bytes.data, bytes.len);
  return t;
}

term optional_binary(ErlNifEnv *env, honker_bytes_t bytes) {
  return bytes.data == NULL ? atom_nil : binary(env, bytes);
}

static term failure_of(ErlNifEnv *env, honker_status_t status, honker_bytes_t message, int32_t code, int32_t extended) {
  return enif_make_tuple2(env, atom_error,
                          enif_make_tuple4(env, enif_make_int(env, status), binary(env, message),
                                           enif_make_int(env, code), enif_make_int(env, extended)));
}

term failure(ErlNifEnv *env, honker_status_t status, const char *message) {
  return failure_of(env, status, (honker_bytes_t){(const uint8_t *)message, strlen(message)}, 0, 0);
}

term closed(ErlNifEnv *env) { return failure(env, HONKER_CLOSED_HANDLE, "the database is closed"); }

term answer(struct in *in, honker_status_t status, term value) {
  static const char *const outcomes[] = {LIBRARY_OUTCOMES};
  if (status == HONKER_OK) return enif_make_tuple2(in->env, atom_ok, value);
  if (status > 0) {
    const char *outcome = (size_t)status < sizeof outcomes / sizeof *outcomes ? outcomes[status] : NULL;
    return atom(in->env, outcome != NULL ? outcome : "unknown");
  }
  in->misused = status == HONKER_MISUSE;
  if (in->misused && in->of != NULL && atomic_load(&in->of->handle) == NULL) {
    lib.error_free(in->err);
    in->err = NULL;
    return closed(in->env);
  }
  honker_bytes_t message = {(const uint8_t *)"", 0};
  if (in->err != NULL) message.data = (const uint8_t *)lib.error_message(in->err, &message.len);
  const int32_t code = in->err ? lib.error_sqlite_code(in->err) : 0;
  const int32_t extended = in->err ? lib.error_sqlite_extended_code(in->err) : 0;
  const term answered = failure_of(in->env, status, message, code, extended);
  lib.error_free(in->err);
  in->err = NULL;
  return answered;
}

term done(struct in *in, honker_status_t status) { return answer(in, status, atom_ok); }

term number(struct in *in, honker_status_t status, const int64_t *value) {
  return answer(in, status, enif_make_int64(in->env, *value));
}

term text_answer(struct in *in, honker_status_t status, honker_text_t **text) {
  honker_bytes_t bytes = {NULL, 0};
  if (status != HONKER_OK) return done(in, status);
  lib.text_get(*text, &bytes.data, &bytes.len, NULL);
  const term t = binary(in->env, bytes);
  lib.text_free(*text);
  return answer(in, status, t);
}

static term job_term(ErlNifEnv *env, const honker_job_view_t *job) {
  return enif_make_tuple9(env, enif_make_int64(env, job->id), binary(env, job->queue), binary(env, job->payload),
                          binary(env, job->worker_id), enif_make_int64(env, job->attempts),
                          enif_make_int64(env, job->claim_expires_at), enif_make_int64(env, job->serial),
                          enif_make_int64(env, job->max_attempts),
                          job->metadata.len > 0 ? binary(env, job->metadata) : atom_nil);
}

term event_term(ErlNifEnv *env, const honker_event_view_t *event) {
  return enif_make_tuple5(env, enif_make_int64(env, event->offset), binary(env, event->topic),
                          optional_binary(env, event->key), binary(env, event->payload),
                          enif_make_int64(env, event->created_at));
}

term enqueued(ErlNifEnv *env, honker_status_t status, int64_t id) {
  const char *outcome = status == HONKER_EXISTS ? "exists" : status == HONKER_REPLACED ? "replaced" : "enqueued";
  return enif_make_tuple2(env, atom(env, outcome), enif_make_int64(env, id));
}

static term fire_term(ErlNifEnv *env, const honker_fire_view_t *fire) {
  const term what = fire->status == HONKER_EMPTY ? enif_make_tuple2(env, atom(env, "skipped"), atom_nil)
                                                 : enqueued(env, fire->status, fire->job_id);
  return enif_make_tuple4(env, binary(env, fire->name), binary(env, fire->queue), enif_make_int64(env, fire->fire_at),
                          what);
}

/* The list of what a batch holds, which is freed. */
#define BATCH(plural, view_t, VIEW_INIT, one)                                                 \
  term plural##_answer(struct in *in, honker_status_t status, honker_##plural##_t **batch) {  \
    size_t len = 0;                                                                           \
    if (status != HONKER_OK) return done(in, status);                                         \
    lib.plural##_len(*batch, &len, NULL);                                                     \
    term list = enif_make_list(in->env, 0);                                                   \
    for (size_t i = len; i > 0; --i) {                                                        \
      view_t view = VIEW_INIT;                                                                \
      lib.plural##_get(*batch, i - 1, &view, NULL);                                           \
      list = enif_make_list_cell(in->env, one(in->env, &view), list);                         \
    }                                                                                         \
    lib.plural##_free(*batch);                                                                \
    return answer(in, status, list);                                                          \
  }

term jobs_list(ErlNifEnv *env, const honker_jobs_t *jobs) {
  honker_job_view_t views[32] = {HONKER_JOB_VIEW_INIT};
  term list = enif_make_list(env, 0);
  size_t first = 0, read = 0;
  while (lib.jobs_views(jobs, first, views, 32, &read, NULL) == HONKER_OK && read > 0) {
    for (size_t i = 0; i < read; ++i) list = enif_make_list_cell(env, job_term(env, &views[i]), list);
    first += read;
  }
  enif_make_reverse_list(env, list, &list);
  return list;
}

term jobs_answer(struct in *in, honker_status_t status, honker_jobs_t **jobs) {
  if (status != HONKER_OK) return done(in, status);
  const term list = jobs_list(in->env, *jobs);
  lib.jobs_free(*jobs);
  return answer(in, status, list);
}

BATCH(events, honker_event_view_t, HONKER_EVENT_VIEW_INIT, event_term)
BATCH(fires, honker_fire_view_t, HONKER_FIRE_VIEW_INIT, fire_term)

/* --- arguments --- */

static int refuse(struct in *in, const char *name, const char *what) {
  char message[200];
  snprintf(message, sizeof message, "%s %s", name, what);
  in->refusal = failure(in->env, HONKER_INVALID, message);
  return 0;
}

int get_text(struct in *in, term t, const char *name, honker_bytes_t *out) {
  ErlNifBinary bytes;
  if (!enif_inspect_binary(in->env, t, &bytes)) return refuse(in, name, "has to be a binary");
  /* An empty text is not none. */
  out->data = bytes.size > 0 ? bytes.data : (const uint8_t *)"";
  out->len = bytes.size;
  return 1;
}

int get_optional_text(struct in *in, term t, const char *name, honker_bytes_t *out) {
  if (!enif_is_identical(t, atom_nil)) return get_text(in, t, name, out);
  *out = (honker_bytes_t){NULL, 0};
  return 1;
}

int get_int(struct in *in, term t, const char *name, int64_t *out) {
  ErlNifSInt64 number;
  if (!enif_get_int64(in->env, t, &number)) return refuse(in, name, "has to be an integer of 64 bits");
  *out = number;
  return 1;
}

int get_time(struct in *in, term t, const char *name, int64_t *out) {
  *out = HONKER_NO_TIME;
  if (enif_is_identical(t, atom_nil)) return 1;
  if (!get_int(in, t, name, out)) return 0;
  return *out != HONKER_NO_TIME || refuse(in, name, "is too large");
}

/* --- the reaper --- */

struct remains {
  void (*free)(void *);
  void *handle;
  struct remains *next;
};

static struct {
  ErlNifTid thread;
  ErlNifMutex *lock;
  ErlNifCond *changed;
  struct remains *first, **last;
  int loads; /* how many versions of the module are loaded; the reaper ends with the last */
} reaper;

void reap(void (*free)(void *), void *handle) {
  struct remains *remains = handle == NULL ? NULL : enif_alloc(sizeof *remains);
  if (remains == NULL) return;
  *remains = (struct remains){free, handle, NULL};
  enif_mutex_lock(reaper.lock);
  *reaper.last = remains;
  reaper.last = &remains->next;
  enif_cond_signal(reaper.changed);
  enif_mutex_unlock(reaper.lock);
}

static void *reaper_run(void *unused) {
  (void)unused;
  enif_mutex_lock(reaper.lock);
  while (reaper.loads > 0 || reaper.first != NULL) {
    struct remains *remains = reaper.first;
    if (remains == NULL) {
      enif_cond_wait(reaper.changed, reaper.lock);
      continue;
    }
    reaper.first = remains->next;
    if (reaper.first == NULL) reaper.last = &reaper.first;
    enif_mutex_unlock(reaper.lock);
    remains->free(remains->handle);
    enif_free(remains);
    enif_mutex_lock(reaper.lock);
  }
  enif_mutex_unlock(reaper.lock);
  return NULL;
}

static int reaper_start(void) {
  if (reaper.loads++ > 0) return 0;
  reaper.lock = enif_mutex_create("honker_reaper");
  reaper.changed = enif_cond_create("honker_reaper");
  reaper.last = &reaper.first;
  return enif_thread_create("honker_reaper", &reaper.thread, reaper_run, NULL, NULL);
}

static void reaper_stop(void) {
  enif_mutex_lock(reaper.lock);
  const int loads = --reaper.loads;
  enif_cond_signal(reaper.changed);
  enif_mutex_unlock(reaper.lock);
  if (loads > 0) return;
  enif_thread_join(reaper.thread, NULL);
  enif_cond_destroy(reaper.changed);
  enif_mutex_destroy(reaper.lock);
}

/* --- databases --- */

int get_db(ErlNifEnv *env, term t, db_t **db) { return enif_get_resource(env, t, db_type, (void **)db); }

static void reap_db(void *handle) { lib.close(handle, NULL); }
static void reap_tx(void *handle) { lib.tx_free(handle); }

static void db_gone(ErlNifEnv *env, void *object) {
  db_t *db = object;
  (void)env;
  reap(reap_db, atomic_exchange(&db->handle, NULL));
  if (db->waiter != NULL) enif_release_resource(db->waiter);
  if (db->lock != NULL) enif_mutex_destroy(db->lock);
}

int option(struct in *in, term map, const char *name, int64_t *out) {
  term value;
  return !enif_get_map_value(in->env, map, atom(in->env, name), &value) || enif_is_identical(value, atom_nil) ||
         get_int(in, value, name, out);
}

int text_option(struct in *in, term map, const char *name, honker_bytes_t *out) {
  term value;
  return !enif_get_map_value(in->env, map, atom(in->env, name), &value) || enif_is_identical(value, atom_nil) ||
         get_text(in, value, name, out);
}

int real_option(struct in *in, term map, const char *name, double *out) {
  term value;
  ErlNifSInt64 whole;
  if (!enif_get_map_value(in->env, map, atom(in->env, name), &value) || enif_is_identical(value, atom_nil)) return 1;
  if (enif_get_double(in->env, value, out)) return 1;
  if (!enif_get_int64(in->env, value, &whole)) return refuse(in, name, "has to be a number");
  *out = (double)whole;
  return 1;
}

int small_option(struct in *in, term map, const char *name, uint32_t *out) {
  int64_t wide = *out;
  if (!option(in, map, name, &wide)) return 0;
  if (wide < 0 || wide > UINT32_MAX) return refuse(in, name, "is out of range");
  *out = (uint32_t)wide;
  return 1;
}

/* open(path, options): {:ok, {db, warning or nil}}. The busy timeout is what may be waited for within libhonker. */
static FUNCTION(db_open) {
  struct in self = {.env = env}, *in = &self;
  honker_open_opts_t opts = HONKER_OPEN_OPTS_INIT;
  honker_db_t *handle = NULL;
  term backend;
  (void)argc;
  if (lib.size == 0) return failure(env, HONKER_MISUSE, "libhonker is not loaded");
  TEXT(0, path);
  opts.nesting = HONKER_NESTING_WAIT;
  if (!option(in, argv[1], "busy_timeout_ms", &opts.busy_timeout_ms) ||
      !small_option(in, argv[1], "readers_max", &opts.readers_max) ||
      !small_option(in, argv[1], "durability", &opts.durability) ||
      !small_option(in, argv[1], "journal_mode", &opts.journal_mode) ||
      !small_option(in, argv[1], "wal_autocheckpoint_pages", &opts.wal_autocheckpoint_pages) ||
      !option(in, argv[1], "watcher_poll_interval_ms", &opts.watcher_poll_interval_ms)) {
    return in->refusal;
  }
  if (enif_get_map_value(env, argv[1], atom(env, "watcher_backend"), &backend) &&
      !get_optional_text(in, backend, "watcher_backend", &opts.watcher_backend)) {
    return in->refusal;
  }
  const honker_status_t status = lib.open(B(path), &opts, &handle, &in->err);
  if (status != HONKER_OK) return done(in, status);
  db_t *db = enif_alloc_resource(db_type, sizeof *db);
  memset((void *)db, 0, sizeof *db);
  atomic_init(&db->handle, handle);
  db->lock = enif_mutex_create("honker_db");
  db->queries_max = opts.readers_max > 2 ? (int)opts.readers_max - 1 : 1;
  term warning = atom_nil;
  if (in->err != NULL) {
    honker_bytes_t message = {NULL, 0};
    message.data = (const uint8_t *)lib.error_message(in->err, &message.len);
    warning = binary(env, message);
    lib.error_free(in->err);
  }
  const term opened = enif_make_tuple2(env, enif_make_resource(env, db), warning);
  enif_release_resource(db);
  return enif_make_tuple2(env, atom_ok, opened);
}

static void tell_all(ErlNifEnv *env, db_t *db, const char *why) {
  enif_mutex_lock(db->lock);
  waiter_t *waiter = db->waiter; /* is there for as long as the database is */
  enif_mutex_unlock(db->lock);
  if (waiter != NULL) waiter_tell_all(env, waiter, why);
}

static FUNCTION(db_close) {
  struct in in = {.env = env};
  db_t *db;
  (void)argc;
  if (!get_db(env, argv[0], &db)) return enif_make_badarg(env);
  honker_db_t *handle = atomic_exchange(&db->handle, NULL);
  if (handle == NULL) return closed(env);
  const honker_status_t status = lib.close(handle, &in.err);
  enif_mutex_lock(db->lock);
  db->tx = NULL;
  enif_mutex_unlock(db->lock);
  tell_all(env, db, "closed");
  return done(&in, status);
}

static FUNCTION(db_interrupt) {
  struct in in = {.env = env};
  db_t *db;
  (void)argc;
  if (!get_db(env, argv[0], &db)) return enif_make_badarg(env);
  honker_db_t *handle = atomic_load(&db->handle);
  if (handle == NULL) return closed(env);
  in.of = db;
  atomic_fetch_add(&db->interrupts, 1);
  const honker_status_t status = lib.interrupt(handle, &in.err);
  tell_all(env, db, "interrupted");
  return done(&in, status);
}

static FUNCTION(db_status) {
  struct in in = {.env = env};
  db_t *db;
  honker_text_t *json = NULL;
  (void)argc;
  if (!get_db(env, argv[0], &db)) return enif_make_badarg(env);
  honker_db_t *handle = atomic_load(&db->handle);
  if (handle == NULL) return closed(env);
  in.of = db;
  const honker_status_t status = lib.status(handle, &json, &in.err);
  return text_answer(&in, status, &json);
}

/* How often it was interrupted: whoever waits in Elixir compares. */
static FUNCTION(db_interrupts) {
  db_t *db;
  (void)argc;
  if (!get_db(env, argv[0], &db)) return enif_make_badarg(env);
  return enif_make_int64(env, atomic_load(&db->interrupts));
}

/* --- transactions --- */

void tx_over(tx_t *tx) {
  honker_tx_t *handle = atomic_exchange(&tx->handle, NULL);
  if (handle == NULL) return;
  enif_mutex_lock(tx->db->lock);
  if (tx->db->tx == tx) tx->db->tx = NULL;
  enif_mutex_unlock(tx->db->lock);
  reap(reap_tx, handle);
}

static void tx_gone(ErlNifEnv *env, void *object) {
  tx_t *tx = object;
  (void)env;
  tx_over(tx);
  enif_release_resource(tx->db);
}

static void tx_down(ErlNifEnv *env, void *object, ErlNifPid *pid, ErlNifMonitor *monitor) {
  (void)env, (void)pid, (void)monitor;
  tx_over(object);
}

/* --- the library --- */

/* load(path): {:ok, {version, abi version, build info}} or {:error, why} */
static FUNCTION(load_library) {
  char path[PATH_MAX], why[1024];
  ErlNifBinary bytes;
  (void)argc;
  if (!enif_inspect_binary(env, argv[0], &bytes) || bytes.size >= sizeof path || memchr(bytes.data, 0, bytes.size)) {
    return enif_make_badarg(env);
  }
  memcpy(path, bytes.data, bytes.size);
  path[bytes.size] = 0;
  if (library_load(path, why, sizeof why) != 0) {
    return enif_make_tuple2(env, atom_error, binary(env, (honker_bytes_t){(uint8_t *)why, strlen(why)}));
  }
  const char *version = lib.version(), *info = lib.build_info();
  return enif_make_tuple2(
      env, atom_ok,
      enif_make_tuple3(env, binary(env, (honker_bytes_t){(const uint8_t *)version, strlen(version)}),
                       enif_make_uint(env, lib.abi_version()),
                       binary(env, (honker_bytes_t){(const uint8_t *)info, strlen(info)})));
}

static FUNCTION(cron_next_after) {
  struct in self = {.env = env}, *in = &self;
  int64_t at = 0;
  (void)argc;
  if (lib.size == 0) return failure(env, HONKER_MISUSE, "libhonker is not loaded");
  TEXT(0, schedule);
  INT(1, from);
  return number(in, lib.cron_next_after(B(schedule), from, &at, &in->err), &at);
}

/* --- the table --- */

static int load(ErlNifEnv *env, void **data, term info) {
  const ErlNifResourceFlags flags = ERL_NIF_RT_CREATE | ERL_NIF_RT_TAKEOVER;
  ErlNifResourceTypeInit db_init = {.dtor = db_gone}, tx_init = {.dtor = tx_gone, .down = tx_down};
  int dirty_schedulers;
  if (!enif_get_int(env, info, &dirty_schedulers)) return -1;
  queries_max = dirty_schedulers > 2 * OTHERS_MIN ? dirty_schedulers - OTHERS_MIN : (dirty_schedulers + 1) / 2;
  *data = &lib;
  atom_ok = atom(env, "ok");
  atom_error = atom(env, "error");
  atom_nil = atom(env, "nil");
  db_type = enif_open_resource_type_x(env, "honker_db", &db_init, flags, NULL);
  tx_type = enif_open_resource_type_x(env, "honker_tx", &tx_init, flags, NULL);
  if (db_type == NULL || tx_type == NULL || waiter_load(env, flags) != 0 ||
      consumers_load(env, flags) != 0) return -1;
  return reaper_start();
}

static int upgrade(ErlNifEnv *env, void **data, void **old, term info) {
  /* What the old version has open is now used by this one, which may be another file. */
  const struct library *loaded = *old;
  if (loaded->size != 0 && loaded->size != sizeof lib) return -1;
  lib = *loaded;
  return load(env, data, info);
}

static void unload(ErlNifEnv *env, void *data) {
  (void)env, (void)data;
  reaper_stop();
}

static ErlNifFunc functions[] = {
    {"load", 1, load_library, ERL_NIF_DIRTY_JOB_IO_BOUND},
    {"cron_next_after", 2, cron_next_after, ERL_NIF_DIRTY_JOB_CPU_BOUND},
    {"open", 2, db_open, ERL_NIF_DIRTY_JOB_IO_BOUND},
    {"close", 1, db_close, ERL_NIF_DIRTY_JOB_IO_BOUND},
    {"interrupt", 1, db_interrupt, 0},
    {"interrupts", 1, db_interrupts, 0},
    {"status", 1, db_status, ERL_NIF_DIRTY_JOB_IO_BOUND},
    {"consumer_new", 4, consumer_new, ERL_NIF_DIRTY_JOB_IO_BOUND},
    {"consumer_next", 2, consumer_next, ERL_NIF_DIRTY_JOB_IO_BOUND},
    {"consumer_do", 3, consumer_do, ERL_NIF_DIRTY_JOB_IO_BOUND},
    {"consumer_close", 1, consumer_close, ERL_NIF_DIRTY_JOB_IO_BOUND},
    {"consumer_wait", 2, consumer_wait, 0},
    {"consumer_forget", 1, consumer_forget, 0},
    {"consumer_wake", 1, consumer_wake, 0},
    {"worker_turn", 3, worker_turn, ERL_NIF_DIRTY_JOB_IO_BOUND},
    {"dispatch", 1, dispatch, 0},
    {"waiter_ready", 1, waiter_ready, ERL_NIF_DIRTY_JOB_IO_BOUND},
#define ENTRY(name, arity, writes) {#name, arity, op_##name, 0},
    OPERATIONS(ENTRY)};

ERL_NIF_INIT(Elixir.Honker.Native, functions, load, NULL, upgrade, unload)
