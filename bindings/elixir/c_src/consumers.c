/*
 * What waits: workers, listeners, subscriptions, leaders, results, and updates.
 *
 * `next` never waits: Elixir does, for the message by which waiter.c says that a consumer has work. A consumer ends with
 * the process that made it, and when it is closed or collected, whichever comes first.
 */
#include "nif.h"

enum kind { WORKER, LISTENER, SUBSCRIPTION, LEADER, RESULT, UPDATES };
static const char *const kinds[] = {"worker", "listener", "subscription", "leader", "result", "updates"};

typedef struct {
  db_t *db;
  waiter_t *waiter;
  enum kind kind;
  void *_Atomic handle; /* NULL once it is closed */
  ErlNifMonitor monitor;
  waiting_t waiting;
} consumer_t;

static ErlNifResourceType *consumer_type;

static void free_worker(void *handle) { lib.worker_free(handle); }
static void free_listener(void *handle) { lib.listener_free(handle); }
static void free_subscription(void *handle) { lib.subscription_free(handle); }
static void free_leader(void *handle) { lib.leader_free(handle); }
static void free_result(void *handle) { lib.result_wait_free(handle); }
static void free_updates(void *handle) { lib.updates_free(handle); }
static void (*const free_handle[])(void *) = {free_worker, free_listener, free_subscription, free_leader,
                                              free_result, free_updates};

/* Ends it, whoever is first to. `env` is NULL in the destructor, where nobody waits. */
static void end(ErlNifEnv *env, consumer_t *consumer, int now) {
  void *handle = atomic_exchange(&consumer->handle, NULL);
  if (handle == NULL) return;
  waiter_leave(env, consumer->waiter, &consumer->waiting);
  if (now) {
    free_handle[consumer->kind](handle);
  } else {
    reap(free_handle[consumer->kind], handle);
  }
}

static void down(ErlNifEnv *env, void *object, ErlNifPid *pid, ErlNifMonitor *monitor) {
  (void)pid, (void)monitor;
  end(env, object, 0);
}

static void gone(ErlNifEnv *env, void *object) {
  consumer_t *consumer = object;
  (void)env;
  end(NULL, consumer, 0);
  enif_free_env(consumer->waiting.tag_env);
  enif_release_resource(consumer->waiter);
  enif_release_resource(consumer->db);
}

int consumers_load(ErlNifEnv *env, ErlNifResourceFlags flags) {
  ErlNifResourceTypeInit init = {.dtor = gone, .down = down};
  consumer_type = enif_open_resource_type_x(env, "honker_consumer", &init, flags, NULL);
  return consumer_type == NULL ? -1 : 0;
}

/* What a consumer of this kind is made of; the options are a list, in the order of the struct. */
static honker_status_t make(struct in *in, enum kind kind, honker_waiter_t *waiter, uint64_t token, honker_bytes_t name,
                            const term *options, void **handle) {
  switch (kind) {
    case WORKER: return worker_make(in, waiter, token, options, (honker_worker_t **)handle);
    case LISTENER:
      return lib.listener_new(in->db, waiter, token, B(name), 15000, (honker_listener_t **)handle, &in->err);
    case SUBSCRIPTION: {
      honker_subscription_opts_t opts = HONKER_SUBSCRIPTION_OPTS_INIT;
      if (!get_optional_text(in, options[0], "consumer", &opts.consumer) ||
          !get_time(in, options[1], "from_offset", &opts.from_offset) ||
          !get_int(in, options[2], "save_every_n", &opts.save_every_n) ||
          !get_int(in, options[3], "save_every_ms", &opts.save_every_ms)) {
        return HONKER_INVALID;
      }
      return lib.subscription_new(in->db, waiter, token, B(name), &opts, (honker_subscription_t **)handle, &in->err);
    }
    case LEADER: return lib.leader_new(in->db, waiter, token, B(name), (honker_leader_t **)handle, &in->err);
    case RESULT: {
      int64_t id;
      if (!get_int(in, options[0], "id", &id)) return HONKER_INVALID;
      return lib.result_wait_new(in->db, waiter, token, id, (honker_result_wait_t **)handle, &in->err);
    }
    default: return lib.updates_new(in->db, waiter, token, (honker_updates_t **)handle, &in->err);
  }
}

/* consumer_new(db, kind, name, options): {:ok, consumer} */
FUNCTION(consumer_new) {
  static atomic_uint_fast64_t tokens;
  struct in self = {.env = env}, *in = &self;
  db_t *db;
  term options[4], head, tail = argv[3];
  waiter_t *waiter;
  void *handle = NULL;
  int kind = 0;
  ErlNifPid owner;
  (void)argc;
  if (!get_db(env, argv[0], &db)) return enif_make_badarg(env);
  for (int i = 0; i < 4; ++i) {
    options[i] = enif_get_list_cell(env, tail, &head, &tail) ? head : atom_nil;
  }
  while (kind < UPDATES && !enif_is_identical(argv[1], atom(env, kinds[kind]))) ++kind;
  TEXT(2, name);
  in->of = db;
  in->db = atomic_load(&db->handle);
  if (in->db == NULL) return closed(env);
  honker_status_t status = waiter_of(in, db, &waiter);
  if (status != HONKER_OK) return done(in, status);
  const uint64_t token = atomic_fetch_add(&tokens, 1);
  consumer_t *consumer = enif_alloc_resource(consumer_type, sizeof *consumer);
  memset((void *)consumer, 0, sizeof *consumer);
  enif_keep_resource(db);
  enif_keep_resource(waiter);
  consumer->db = db;
  consumer->waiter = waiter;
  consumer->kind = (enum kind)kind;
  consumer->waiting.token = token;
  consumer->waiting.tag_env = enif_alloc_env();
  /* Before it exists: it may be named at once. */
  waiter_enter(waiter, &consumer->waiting);
  status = make(in, (enum kind)kind, waiter->handle, token, name, options, &handle);
  if (status != HONKER_OK) {
    waiter_leave(NULL, waiter, &consumer->waiting);
    enif_release_resource(consumer);
    return in->refusal != 0 ? in->refusal : done(in, status);
  }
  atomic_store(&consumer->handle, handle);
  enif_self(env, &owner);
  /* A process that is dead by now never sees it, and the destructor ends it. */
  enif_monitor_process(env, consumer, &owner, &consumer->monitor);
  const term made = enif_make_resource(env, consumer);
  enif_release_resource(consumer);
  return enif_make_tuple2(env, atom_ok, made);
}

static term look(struct in *in, consumer_t *consumer, void *handle, int64_t n) {
  honker_status_t status;
  term found = atom_ok;
  switch (consumer->kind) {
    case WORKER: return worker_look(in, handle, n);
    case LEADER: {
      honker_fires_t *fires = NULL;
      status = lib.leader_next(handle, 0, &fires, &in->err);
      return fires_answer(in, status, &fires);
    }
    case LISTENER: {
      honker_notification_view_t view = HONKER_NOTIFICATION_VIEW_INIT;
      status = lib.listener_next(handle, 0, &view, &in->err);
      if (status == HONKER_OK) {
        found = enif_make_tuple4(in->env, enif_make_int64(in->env, view.id), binary(in->env, view.channel),
                                 binary(in->env, view.payload), enif_make_int64(in->env, view.created_at));
      }
      break;
    }
    case SUBSCRIPTION: {
      honker_event_view_t view = HONKER_EVENT_VIEW_INIT;
      status = lib.subscription_next(handle, 0, &view, &in->err);
      if (status == HONKER_OK) found = event_term(in->env, &view);
      break;
    }
    case RESULT: {
      honker_text_t *value = NULL;
      status = lib.result_wait_next(handle, 0, &value, &in->err);
      return text_answer(in, status, &value);
    }
    default: status = lib.updates_next(handle, 0, &in->err);
  }
  return answer(in, status, found);
}

static int get(struct in *in, term t, consumer_t **consumer, void **handle) {
  if (!enif_get_resource(in->env, t, consumer_type, (void **)consumer)) return 0;
  *handle = atomic_load(&(*consumer)->handle);
  in->of = (*consumer)->db;
  in->db = atomic_load(&in->of->handle);
  return 1;
}

int get_worker(struct in *in, term t, honker_worker_t **worker) {
  consumer_t *consumer;
  if (!enif_get_resource(in->env, t, consumer_type, (void **)&consumer) || consumer->kind != WORKER) return 0;
  *worker = atomic_load(&consumer->handle);
  in->of = consumer->db;
  waiter_looks(consumer->waiter, &consumer->waiting);
  return 1;
}

/* consumer_next(consumer, n): {:ok, what}, :timeout, :closed if it was closed in the middle, :closed_before */
FUNCTION(consumer_next) {
  struct in self = {.env = env}, *in = &self;
  consumer_t *consumer;
  void *handle;
  (void)argc;
  if (!get(in, argv[0], &consumer, &handle)) return enif_make_badarg(env);
  INT(1, n);
  if (handle == NULL || in->db == NULL) return atom(env, "closed_before");
  waiter_looks(consumer->waiter, &consumer->waiting);
  const term looked = look(in, consumer, handle, n);
  /* Closing it, or its database, frees the handle, and a look that comes too late finds none. */
  const int is_closed = atomic_load(&consumer->handle) == NULL || atomic_load(&in->of->handle) == NULL;
  return is_closed && (in->misused || !enif_is_tuple(env, looked)) ? atom(env, "closed") : looked;
}

/* consumer_do(consumer, what, arguments): the rest of what can be done with one */
FUNCTION(consumer_do) {
  struct in self = {.env = env}, *in = &self;
  consumer_t *consumer;
  void *handle;
  int64_t out = 0, id = 0, serial = 0;
  term head, tail = argv[2];
  (void)argc;
  if (!get(in, argv[0], &consumer, &handle)) return enif_make_badarg(env);
  if (handle == NULL || in->db == NULL) return failure(env, HONKER_CLOSED_HANDLE, "it is closed");
  if (enif_get_list_cell(env, tail, &head, &tail) && !get_int(in, head, "id", &id)) return in->refusal;
  if (enif_get_list_cell(env, tail, &head, &tail) && !get_int(in, head, "serial", &serial)) return in->refusal;
#define WHAT(name, of, ...)                                                     \
  if (consumer->kind == of && enif_is_identical(argv[1], atom(env, #name))) {   \
    const honker_status_t status = lib.__VA_ARGS__;                             \
    return number(in, status, &out);                                             \
  }
  WHAT(ack, SUBSCRIPTION, subscription_ack(handle, &in->err))
  WHAT(save, SUBSCRIPTION, subscription_save(handle, &in->err))
  WHAT(offset, SUBSCRIPTION, subscription_offset(handle, &out, &in->err))
  WHAT(settled, WORKER, worker_settled(handle, id, serial, &in->err))
  WHAT(leads, LEADER, leader_leads(handle, &out, &in->err))
  WHAT(resign, LEADER, leader_resign(handle, &in->err))
#undef WHAT
  return enif_make_badarg(env);
}

/* consumer_wait(consumer, tag): as waiter_wait, or :closed */
FUNCTION(consumer_wait) {
  struct in in = {.env = env};
  consumer_t *consumer;
  void *handle;
  (void)argc;
  if (!get(&in, argv[0], &consumer, &handle)) return enif_make_badarg(env);
  if (handle == NULL || in.db == NULL) return atom(env, "closed");
  const term answered = waiter_wait(env, consumer->waiter, &consumer->waiting, argv[1]);
  /* It may have been closed before it was known that somebody waits. */
  if (atomic_load(&consumer->handle) != NULL && atomic_load(&consumer->db->handle) != NULL) return answered;
  waiter_forget(consumer->waiter, &consumer->waiting);
  return atom(env, "closed");
}

/* consumer_forget(consumer): no message comes any more; one may have come. */
FUNCTION(consumer_forget) {
  struct in in = {.env = env};
  consumer_t *consumer;
  void *handle;
  (void)argc;
  if (!get(&in, argv[0], &consumer, &handle)) return enif_make_badarg(env);
  waiter_forget(consumer->waiter, &consumer->waiting);
  return atom_ok;
}

FUNCTION(consumer_wake) {
  struct in in = {.env = env};
  consumer_t *consumer;
  void *handle;
  (void)argc;
  if (!get(&in, argv[0], &consumer, &handle)) return enif_make_badarg(env);
  if (handle == NULL || in.db == NULL) return failure(env, HONKER_CLOSED_HANDLE, "it is closed");
  waiter_wake(env, consumer->waiter, &consumer->waiting);
  return enif_make_tuple2(env, atom_ok, atom_ok);
}

FUNCTION(consumer_close) {
  consumer_t *consumer;
  (void)argc;
  if (!enif_get_resource(env, argv[0], consumer_type, (void **)&consumer)) return enif_make_badarg(env);
  enif_demonitor_process(env, consumer, &consumer->monitor);
  end(env, consumer, 1);
  return atom_ok;
}
