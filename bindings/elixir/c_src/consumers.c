/*
 * What waits: workers, listeners, subscriptions, leaders, outboxes, and bare waiters.
 *
 * `next` never waits: Elixir does, for the message that enif_select sends when the waiter's descriptor becomes readable,
 * or that consumers_tell sends. A consumer ends with the process that made it, and when it is closed or collected,
 * whichever comes first.
 *
 * The waiter owns the descriptor, so it is freed only when the emulator has let go of that: in the callback `stop`, or
 * at once if it was never waited for.
 */
#include "nif.h"

enum kind { WORKER, LISTENER, SUBSCRIPTION, LEADER, OUTBOX, UPDATES };
static const char *const kinds[] = {"worker", "listener", "subscription", "leader", "outbox", "updates"};

typedef struct consumer {
  db_t *db;
  enum kind kind;
  void *_Atomic handle; /* NULL once it is closed */
  honker_waiter_t *waiter;
  ErlNifEvent fd;
  ErlNifMonitor monitor;
  char *queue; /* whose next claim a worker or an outbox waits for; NULL for others */
  size_t queue_len;
  /* Under the lock of the database: */
  int is_closed, is_selected;
  int somebody_waits;
  ErlNifPid who_waits;
  ErlNifEnv *tag_env;
  term tag;
  struct consumer *next, *previous;
} consumer_t;

static ErlNifResourceType *consumer_type;

static void free_waiter(void *waiter) { lib.waiter_free(waiter); }
static void free_worker(void *handle) { lib.worker_free(handle); }
static void free_listener(void *handle) { lib.listener_free(handle); }
static void free_subscription(void *handle) { lib.subscription_free(handle); }
static void free_leader(void *handle) { lib.leader_free(handle); }
static void free_outbox(void *handle) { lib.outbox_free(handle); }
static void free_updates(void *handle) { lib.updates_free(handle); }
static void (*const free_handle[])(void *) = {free_worker, free_listener, free_subscription,
                                              free_leader, free_outbox,   free_updates};

/* Tells the process that waits, if there is one. Under the lock. */
static void tell(ErlNifEnv *env, consumer_t *consumer, const char *why) {
  if (!consumer->somebody_waits) return;
  consumer->somebody_waits = 0;
  ErlNifEnv *message_env = enif_alloc_env();
  const term message = enif_make_tuple3(message_env, atom(message_env, "honker_wait"),
                                        enif_make_copy(message_env, consumer->tag), atom(message_env, why));
  enif_send(env, &consumer->who_waits, message_env, message);
  enif_free_env(message_env);
}

void consumers_tell(ErlNifEnv *env, db_t *db, const char *why) {
  enif_mutex_lock(db->lock);
  for (consumer_t *consumer = db->consumers; consumer != NULL; consumer = consumer->next) tell(env, consumer, why);
  enif_mutex_unlock(db->lock);
}

/* Ends it, whoever is first to. `env` is NULL in the destructor, where nothing can be selected. */
static void end(ErlNifEnv *env, consumer_t *consumer, int now) {
  db_t *db = consumer->db;
  enif_mutex_lock(db->lock);
  const int was_closed = consumer->is_closed;
  const int is_selected = consumer->is_selected;
  consumer->is_closed = 1;
  if (!was_closed) {
    if (env != NULL) tell(env, consumer, "closed");
    if (consumer->next != NULL) consumer->next->previous = consumer->previous;
    if (consumer->previous != NULL) consumer->previous->next = consumer->next;
    if (db->consumers == consumer) db->consumers = consumer->next;
  }
  enif_mutex_unlock(db->lock);
  if (was_closed) return;
  void *handle = atomic_exchange(&consumer->handle, NULL);
  if (now) {
    free_handle[consumer->kind](handle);
  } else {
    reap(free_handle[consumer->kind], handle);
  }
  if (is_selected) {
    enif_select(env, consumer->fd, ERL_NIF_SELECT_STOP, consumer, NULL, atom(env, "undefined"));
  } else {
    reap(free_waiter, consumer->waiter);
  }
}

static void stopped(ErlNifEnv *env, void *object, ErlNifEvent fd, int is_direct) {
  (void)env, (void)fd, (void)is_direct;
  reap(free_waiter, ((consumer_t *)object)->waiter);
}

static void down(ErlNifEnv *env, void *object, ErlNifPid *pid, ErlNifMonitor *monitor) {
  (void)pid, (void)monitor;
  end(env, object, 0);
}

static void gone(ErlNifEnv *env, void *object) {
  consumer_t *consumer = object;
  (void)env;
  end(NULL, consumer, 0);
  enif_free(consumer->queue);
  enif_free_env(consumer->tag_env);
  enif_release_resource(consumer->db);
}

int consumers_load(ErlNifEnv *env, ErlNifResourceFlags flags) {
  ErlNifResourceTypeInit init = {.dtor = gone, .stop = stopped, .down = down};
  consumer_type = enif_open_resource_type_x(env, "honker_consumer", &init, flags, NULL);
  return consumer_type == NULL ? -1 : 0;
}

/* What a consumer of this kind is made of; the options are a list, in the order of the struct. */
static honker_status_t make(struct in *in, enum kind kind, honker_waiter_t *waiter, honker_bytes_t name,
                            const term *options, void **handle) {
  switch (kind) {
    case WORKER: {
      honker_worker_opts_t opts = HONKER_WORKER_OPTS_INIT;
      honker_bytes_t worker_id;
      if (!get_text(in, options[0], "worker_id", &worker_id)) return HONKER_INVALID;
      if (!get_int(in, options[1], "visibility_timeout_s", &opts.visibility_timeout_s)) return HONKER_INVALID;
      honker_worker_queue_t queue = HONKER_WORKER_QUEUE_INIT;
      queue.name = name;
      return lib.worker_new(in->db, waiter, 0, &queue, 1, B(worker_id), &opts, (honker_worker_t **)handle, &in->err);
    }
    case LISTENER:
      return lib.listener_new(in->db, waiter, 0, B(name), 15000, (honker_listener_t **)handle, &in->err);
    case SUBSCRIPTION: {
      honker_subscription_opts_t opts = HONKER_SUBSCRIPTION_OPTS_INIT;
      if (!get_optional_text(in, options[0], "consumer", &opts.consumer) ||
          !get_time(in, options[1], "from_offset", &opts.from_offset) ||
          !get_int(in, options[2], "save_every_n", &opts.save_every_n) ||
          !get_int(in, options[3], "save_every_ms", &opts.save_every_ms)) {
        return HONKER_INVALID;
      }
      return lib.subscription_new(in->db, waiter, 0, B(name), &opts, (honker_subscription_t **)handle, &in->err);
    }
    case LEADER:
      return lib.leader_new(in->db, waiter, 0, B(name), (honker_leader_t **)handle, &in->err);
    case OUTBOX: {
      honker_outbox_opts_t opts = HONKER_OUTBOX_OPTS_INIT;
      honker_bytes_t worker_id;
      if (!get_text(in, options[0], "worker_id", &worker_id)) return HONKER_INVALID;
      if (!get_int(in, options[1], "visibility_timeout_s", &opts.visibility_timeout_s) ||
          !get_int(in, options[2], "base_backoff_s", &opts.base_backoff_s)) {
        return HONKER_INVALID;
      }
      return lib.outbox_new(in->db, waiter, 0, B(name), B(worker_id), &opts, (honker_outbox_t **)handle, &in->err);
    }
    default: return lib.updates_new(in->db, waiter, 0, (honker_updates_t **)handle, &in->err);
  }
}

/* consumer_new(db, kind, name, options): {:ok, consumer} */
FUNCTION(consumer_new) {
  struct in self = {.env = env}, *in = &self;
  db_t *db;
  term options[4], head, tail = argv[3];
  honker_waiter_t *waiter = NULL;
  void *handle = NULL;
  int64_t fd = -1;
  int kind = 0;
  ErlNifPid owner;
  (void)argc;
  if (!get_db(env, argv[0], &db)) return enif_make_badarg(env);
  for (int i = 0; i < 4; ++i) {
    options[i] = enif_get_list_cell(env, tail, &head, &tail) ? head : atom_nil;
  }
  while (kind < UPDATES && !enif_is_identical(argv[1], atom(env, kinds[kind]))) ++kind;
  TEXT(2, name);
  in->db = atomic_load(&db->handle);
  if (in->db == NULL) return closed(env);
  honker_status_t status = lib.waiter_new(in->db, &waiter, &in->err);
  if (status != HONKER_OK) return done(in, status);
  status = lib.waiter_fd(waiter, &fd, &in->err);
  if (status == HONKER_OK) status = make(in, (enum kind)kind, waiter, name, options, &handle);
  if (status != HONKER_OK) {
    lib.waiter_free(waiter);
    return in->refusal != 0 ? in->refusal : done(in, status);
  }
  consumer_t *consumer = enif_alloc_resource(consumer_type, sizeof *consumer);
  memset((void *)consumer, 0, sizeof *consumer);
  enif_keep_resource(db);
  consumer->db = db;
  consumer->kind = (enum kind)kind;
  atomic_init(&consumer->handle, handle);
  consumer->waiter = waiter;
  consumer->fd = (ErlNifEvent)fd;
  consumer->tag_env = enif_alloc_env();
  if (kind == WORKER || kind == OUTBOX) {
    const char *prefix = kind == OUTBOX ? "_outbox:" : "";
    consumer->queue_len = strlen(prefix) + name.len;
    consumer->queue = enif_alloc(consumer->queue_len + 1);
    memcpy(consumer->queue, prefix, strlen(prefix));
    memcpy(consumer->queue + strlen(prefix), name.data, name.len);
  }
  enif_mutex_lock(db->lock);
  consumer->next = db->consumers;
  if (db->consumers != NULL) db->consumers->previous = consumer;
  db->consumers = consumer;
  enif_mutex_unlock(db->lock);
  enif_self(env, &owner);
  /* A process that is dead by now never sees it, and the destructor ends it. */
  enif_monitor_process(env, consumer, &owner, &consumer->monitor);
  const term made = enif_make_resource(env, consumer);
  enif_release_resource(consumer);
  return enif_make_tuple2(env, atom_ok, made);
}

/* When to look again though nothing was committed, in Unix seconds; HONKER_EMPTY if that makes no sense. */
static honker_status_t look_again_at(struct in *in, consumer_t *consumer, int64_t *at) {
  if (consumer->queue != NULL) {
    return lib.queue_next_claim_at(in->db, NULL, (uint8_t *)consumer->queue, consumer->queue_len, at, NULL);
  }
  return consumer->kind == LEADER ? lib.scheduler_soonest(in->db, NULL, at, NULL) : HONKER_EMPTY;
}

/* {:timeout, at} */
static term nothing(struct in *in, consumer_t *consumer) {
  int64_t at = 0;
  const honker_status_t status = look_again_at(in, consumer, &at);
  return enif_make_tuple2(in->env, atom(in->env, "timeout"),
                          status == HONKER_OK ? enif_make_int64(in->env, at) : atom_nil);
}

static honker_status_t next_jobs(struct in *in, consumer_t *consumer, void *handle, int64_t n, honker_jobs_t **jobs) {
  return consumer->kind == WORKER ? lib.worker_next(handle, n, 0, jobs, &in->err)
                                  : lib.outbox_next(handle, 0, jobs, &in->err);
}

static term look(struct in *in, consumer_t *consumer, void *handle, int64_t n) {
  size_t count;
  /* The descriptor stays readable until this was asked. */
  honker_status_t status = lib.waiter_ready(consumer->waiter, NULL, 0, &count, &in->err);
  if (status != HONKER_OK) return done(in, status);
  term found = atom_ok;
  switch (consumer->kind) {
    case WORKER:
    case OUTBOX: {
      honker_jobs_t *jobs = NULL;
      int64_t at = 0;
      status = next_jobs(in, consumer, handle, n, &jobs);
      /* A job that became due after that look is not waited for any more: it is there. */
      if (status == HONKER_TIMEOUT && n > 0 && look_again_at(in, consumer, &at) == HONKER_EMPTY) {
        status = next_jobs(in, consumer, handle, n, &jobs);
      }
      return status == HONKER_TIMEOUT ? nothing(in, consumer) : jobs_answer(in, status, &jobs);
    }
    case LEADER: {
      honker_fires_t *fires = NULL;
      status = lib.leader_next(handle, 0, &fires, &in->err);
      return status == HONKER_TIMEOUT ? nothing(in, consumer) : fires_answer(in, status, &fires);
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
    default: status = lib.updates_next(handle, 0, &in->err);
  }
  return status == HONKER_TIMEOUT ? nothing(in, consumer) : answer(in, status, found);
}

static int get(struct in *in, term t, consumer_t **consumer, void **handle) {
  if (!enif_get_resource(in->env, t, consumer_type, (void **)consumer)) return 0;
  *handle = atomic_load(&(*consumer)->handle);
  in->db = atomic_load(&(*consumer)->db->handle);
  return 1;
}

/* consumer_next(consumer, n): {:ok, what}, {:timeout, at}, :woken, :closed */
FUNCTION(consumer_next) {
  struct in self = {.env = env}, *in = &self;
  consumer_t *consumer;
  void *handle;
  (void)argc;
  if (!get(in, argv[0], &consumer, &handle)) return enif_make_badarg(env);
  INT(1, n);
  if (handle == NULL || in->db == NULL) return atom(env, "closed");
  const term looked = look(in, consumer, handle, n);
  /* Closing it frees the handle, and a look that comes too late finds none. */
  return atomic_load(&consumer->handle) == NULL && !enif_is_tuple(env, looked) ? atom(env, "closed") : looked;
}

/* consumer_do(consumer, what, arguments): the rest of what can be done with one */
FUNCTION(consumer_do) {
  struct in self = {.env = env}, *in = &self;
  consumer_t *consumer;
  void *handle;
  int64_t out = 0, id = 0, attempts = 0;
  honker_bytes_t error = {NULL, 0};
  term head, tail = argv[2];
  (void)argc;
  if (!get(in, argv[0], &consumer, &handle)) return enif_make_badarg(env);
  if (handle == NULL || in->db == NULL) return failure(env, HONKER_CLOSED_HANDLE, "it is closed");
  if (enif_get_list_cell(env, tail, &head, &tail) && !get_int(in, head, "id", &id)) return in->refusal;
  if (enif_get_list_cell(env, tail, &head, &tail) && !get_int(in, head, "attempts", &attempts)) return in->refusal;
  if (enif_get_list_cell(env, tail, &head, &tail) && !get_text(in, head, "error", &error)) return in->refusal;
#define WHAT(name, of, ...)                                                     \
  if (consumer->kind == of && enif_is_identical(argv[1], atom(env, #name))) {   \
    const honker_status_t status = lib.__VA_ARGS__;                             \
    return number(in, status, &out);                                             \
  }
  WHAT(ack, SUBSCRIPTION, subscription_ack(handle, &in->err))
  WHAT(save, SUBSCRIPTION, subscription_save(handle, &in->err))
  WHAT(offset, SUBSCRIPTION, subscription_offset(handle, &out, &in->err))
  WHAT(leads, LEADER, leader_leads(handle, &out, &in->err))
  WHAT(resign, LEADER, leader_resign(handle, &in->err))
  WHAT(delivered, OUTBOX, outbox_delivered(handle, id, &in->err))
  WHAT(failed, OUTBOX, outbox_failed(handle, id, attempts, B(error), &in->err))
#undef WHAT
  return enif_make_badarg(env);
}

/* consumer_select(consumer, tag): the caller is sent {:select, _, tag, _} or {:honker_wait, tag, why}, once. */
FUNCTION(consumer_select) {
  consumer_t *consumer;
  (void)argc;
  if (!enif_get_resource(env, argv[0], consumer_type, (void **)&consumer)) return enif_make_badarg(env);
  db_t *db = consumer->db;
  enif_mutex_lock(db->lock);
  const int may = !consumer->is_closed && atomic_load(&db->handle) != NULL;
  int selected = -1;
  if (may) {
    enif_self(env, &consumer->who_waits);
    enif_clear_env(consumer->tag_env);
    consumer->tag = enif_make_copy(consumer->tag_env, argv[1]);
    consumer->somebody_waits = consumer->is_selected = 1;
    selected = enif_select(env, consumer->fd, ERL_NIF_SELECT_READ, consumer, NULL, argv[1]);
  }
  enif_mutex_unlock(db->lock);
  if (!may) return atom(env, "closed");
  return selected < 0 ? failure(env, HONKER_INTERNAL, "the descriptor cannot be waited for") : atom_ok;
}

/* consumer_cancel(consumer): :ok if no message will come, :sent if one may have been sent */
FUNCTION(consumer_cancel) {
  consumer_t *consumer;
  (void)argc;
  if (!enif_get_resource(env, argv[0], consumer_type, (void **)&consumer)) return enif_make_badarg(env);
  enif_mutex_lock(consumer->db->lock);
  consumer->somebody_waits = 0;
  int cancelled = 0;
  if (!consumer->is_closed) {
    cancelled = enif_select(env, consumer->fd, ERL_NIF_SELECT_READ | ERL_NIF_SELECT_CANCEL, consumer, NULL,
                            atom(env, "undefined"));
  }
  enif_mutex_unlock(consumer->db->lock);
  return cancelled >= 0 && cancelled & ERL_NIF_SELECT_READ_CANCELLED ? atom_ok : atom(env, "sent");
}

FUNCTION(consumer_wake) {
  struct in in = {.env = env};
  consumer_t *consumer;
  void *handle;
  (void)argc;
  if (!get(&in, argv[0], &consumer, &handle)) return enif_make_badarg(env);
  if (handle == NULL || in.db == NULL) return failure(env, HONKER_CLOSED_HANDLE, "it is closed");
  return done(&in, lib.waiter_wake(consumer->waiter, &in.err));
}

FUNCTION(consumer_close) {
  consumer_t *consumer;
  (void)argc;
  if (!enif_get_resource(env, argv[0], consumer_type, (void **)&consumer)) return enif_make_badarg(env);
  enif_demonitor_process(env, consumer, &consumer->monitor);
  end(env, consumer, 1);
  return atom_ok;
}
