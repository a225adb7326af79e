/*
 * The waiter of a database, and the process that dispatches what it says.
 *
 * All consumers of a database share one native waiter, which is made with the first of them. A process of Elixir
 * (Honker.Dispatcher) is sent a message when its descriptor becomes readable, asks which consumers have work, and has the
 * processes told that wait with these. It is started by whoever waits while there is none, and ends with the database.
 *
 * Invariants:
 *  - Whoever waits is told at most once, and only under the lock, so that nothing comes after waiter_forget.
 *  - What a consumer is told while nobody waits with it stays with it, for the next wait.
 *  - The waiter owns the descriptor, so it is freed only when nothing refers to this resource any more; as long as it is
 *    selected the emulator does.
 */
#include "nif.h"

#include <stdio.h>

/* How many tokens are taken in one call. */
#define TOKENS 64

static ErlNifResourceType *waiter_type;

/* Tells the process that waits, if there is one. Under the lock. */
static int tell(ErlNifEnv *env, waiting_t *waiting, const char *why) {
  if (!waiting->somebody_waits) return 0;
  waiting->somebody_waits = 0;
  ErlNifEnv *message_env = enif_alloc_env();
  const term message = enif_make_tuple3(message_env, atom(message_env, "honker_wait"),
                                        enif_make_copy(message_env, waiting->tag), atom(message_env, why));
  enif_send(env, &waiting->who_waits, message_env, message);
  enif_free_env(message_env);
  return 1;
}

static void tell_all(ErlNifEnv *env, waiter_t *waiter, const char *why) {
  for (size_t i = 0; i < WAITER_BUCKETS; ++i) {
    for (waiting_t *one = waiter->buckets[i]; one != NULL; one = one->next) tell(env, one, why);
  }
}

void waiter_tell_all(ErlNifEnv *env, waiter_t *waiter, const char *why) {
  enif_mutex_lock(waiter->lock);
  tell_all(env, waiter, why);
  enif_mutex_unlock(waiter->lock);
}

void waiter_wake(ErlNifEnv *env, waiter_t *waiter, waiting_t *waiting) {
  enif_mutex_lock(waiter->lock);
  if (!tell(env, waiting, "woken")) waiting->is_woken = 1;
  enif_mutex_unlock(waiter->lock);
}

void waiter_enter(waiter_t *waiter, waiting_t *waiting) {
  waiting_t **bucket = &waiter->buckets[waiting->token % WAITER_BUCKETS];
  enif_mutex_lock(waiter->lock);
  waiting->next = *bucket;
  *bucket = waiting;
  enif_mutex_unlock(waiter->lock);
}

int waiter_leave(ErlNifEnv *env, waiter_t *waiter, waiting_t *waiting) {
  waiting_t **link = &waiter->buckets[waiting->token % WAITER_BUCKETS];
  enif_mutex_lock(waiter->lock);
  while (*link != NULL && *link != waiting) link = &(*link)->next;
  const int found = *link != NULL;
  if (found) {
    *link = waiting->next;
    if (env != NULL) tell(env, waiting, "closed");
  }
  enif_mutex_unlock(waiter->lock);
  return found;
}

void waiter_looks(waiter_t *waiter, waiting_t *waiting) {
  enif_mutex_lock(waiter->lock);
  waiting->is_ready = 0;
  enif_mutex_unlock(waiter->lock);
}

/* Under the lock. */
static int is_anothers(ErlNifEnv *env, const waiting_t *waiting) {
  ErlNifPid self, other = waiting->who_waits;
  enif_self(env, &self);
  return waiting->somebody_waits && enif_compare_pids(&self, &other) != 0 && enif_is_process_alive(env, &other);
}

/* :ok if the caller will be sent {:honker_wait, tag, why}; {:dispatch, waiter} if it will when it has started a dispatcher;
 * :ready, :woken */
term waiter_wait(ErlNifEnv *env, waiter_t *waiter, waiting_t *waiting, term tag) {
  term answered;
  enif_mutex_lock(waiter->lock);
  if (is_anothers(env, waiting)) {
    /* One of them would never be told. */
    answered = failure(env, HONKER_MISUSE, "another process waits with this consumer: make one for each");
  } else if (waiting->is_woken) {
    waiting->is_woken = 0;
    answered = atom(env, "woken");
  } else if (waiting->is_ready) {
    waiting->is_ready = 0;
    answered = atom(env, "ready");
  } else if (waiter->is_over) {
    answered = failure(env, HONKER_WATCHER, waiter->why_over);
  } else {
    enif_self(env, &waiting->who_waits);
    enif_clear_env(waiting->tag_env);
    waiting->tag = enif_make_copy(waiting->tag_env, tag);
    waiting->somebody_waits = 1;
    answered = waiter->is_dispatched
                   ? atom_ok
                   : enif_make_tuple2(env, atom(env, "dispatch"), enif_make_resource(env, waiter));
  }
  enif_mutex_unlock(waiter->lock);
  return answered;
}

void waiter_forget(waiter_t *waiter, waiting_t *waiting) {
  enif_mutex_lock(waiter->lock);
  waiting->somebody_waits = 0;
  enif_mutex_unlock(waiter->lock);
}

/* --- the dispatcher --- */

static int select_again(ErlNifEnv *env, waiter_t *waiter) {
  return enif_select(env, waiter->fd, ERL_NIF_SELECT_READ, waiter, NULL, atom(env, "undefined"));
}

/* dispatch(waiter): whether the caller is the dispatcher now; it is sent {:select, waiter, _, _} then. */
FUNCTION(dispatch) {
  waiter_t *waiter;
  ErlNifPid self;
  (void)argc;
  if (!enif_get_resource(env, argv[0], waiter_type, (void **)&waiter)) return enif_make_badarg(env);
  enif_mutex_lock(waiter->lock);
  const int mine = !waiter->is_dispatched && !waiter->is_over && select_again(env, waiter) >= 0;
  if (mine) {
    waiter->is_dispatched = 1;
    enif_self(env, &self);
    enif_monitor_process(env, waiter, &self, &waiter->monitor);
  }
  enif_mutex_unlock(waiter->lock);
  return atom(env, mine ? "true" : "false");
}

/* Those that have work, or the end of it all. Whether to go on. */
static int name(ErlNifEnv *env, waiter_t *waiter) {
  uint64_t tokens[TOKENS];
  size_t count;
  honker_error_t *err = NULL;
  honker_status_t status;
  do {
    status = lib.waiter_ready(waiter->handle, tokens, TOKENS, &count, &err);
    enif_mutex_lock(waiter->lock);
    for (size_t i = 0; i < count; ++i) {
      waiting_t *one = waiter->buckets[tokens[i] % WAITER_BUCKETS];
      while (one != NULL && one->token != tokens[i]) one = one->next;
      if (one != NULL && !tell(env, one, "ready")) one->is_ready = 1;
    }
    if (status < 0 || status == HONKER_CLOSED) {
      waiter->is_over = 1;
      waiter->is_dispatched = 0;
      size_t len = 0;
      const char *why = err != NULL ? lib.error_message(err, &len) : "the database was closed";
      snprintf(waiter->why_over, sizeof waiter->why_over, "%.*s", err != NULL ? (int)len : 100, why);
      /* They look, and find out. */
      tell_all(env, waiter, "ready");
    }
    enif_mutex_unlock(waiter->lock);
    lib.error_free(err);
    err = NULL;
  } while (!waiter->is_over && count == TOKENS);
  return !waiter->is_over;
}

/* waiter_ready(waiter): has those told that have work; :ok, or :over when there is nothing more to dispatch */
FUNCTION(waiter_ready) {
  waiter_t *waiter;
  (void)argc;
  if (!enif_get_resource(env, argv[0], waiter_type, (void **)&waiter)) return enif_make_badarg(env);
  if (!waiter->is_over && name(env, waiter) && select_again(env, waiter) >= 0) return atom_ok;
  enif_select(env, waiter->fd, ERL_NIF_SELECT_STOP, waiter, NULL, atom(env, "undefined"));
  return atom(env, "over");
}

/* --- its life --- */

static void free_waiter(void *handle) { lib.waiter_free(handle); }

static void gone(ErlNifEnv *env, void *object) {
  waiter_t *waiter = object;
  (void)env;
  reap(free_waiter, waiter->handle);
  enif_mutex_destroy(waiter->lock);
}

/* The dispatcher ended, and not because there was nothing left to dispatch: whoever waits starts another. */
static void down(ErlNifEnv *env, void *object, ErlNifPid *pid, ErlNifMonitor *monitor) {
  waiter_t *waiter = object;
  (void)pid, (void)monitor;
  enif_mutex_lock(waiter->lock);
  waiter->is_dispatched = 0;
  tell_all(env, waiter, "ready");
  enif_mutex_unlock(waiter->lock);
}

/* The emulator has let go of the descriptor. */
static void stopped(ErlNifEnv *env, void *object, ErlNifEvent fd, int is_direct) {
  (void)env, (void)object, (void)fd, (void)is_direct;
}

int waiter_load(ErlNifEnv *env, ErlNifResourceFlags flags) {
  ErlNifResourceTypeInit init = {.dtor = gone, .stop = stopped, .down = down};
  waiter_type = enif_open_resource_type_x(env, "honker_waiter", &init, flags, NULL);
  return waiter_type == NULL ? -1 : 0;
}

honker_status_t waiter_of(struct in *in, db_t *db, waiter_t **out) {
  enif_mutex_lock(db->lock);
  waiter_t *waiter = *out = db->waiter;
  enif_mutex_unlock(db->lock);
  if (waiter != NULL) return HONKER_OK;
  honker_waiter_t *handle = NULL;
  int64_t fd = -1;
  honker_status_t status = lib.waiter_new(in->db, &handle, &in->err);
  if (status != HONKER_OK) return status;
  lib.error_free(in->err); /* a warning, which honker_status keeps */
  in->err = NULL;
  status = lib.waiter_fd(handle, &fd, &in->err);
  if (status != HONKER_OK) {
    lib.waiter_free(handle);
    return status;
  }
  waiter = enif_alloc_resource(waiter_type, sizeof *waiter);
  memset(waiter, 0, sizeof *waiter);
  waiter->lock = enif_mutex_create("honker_waiter");
  waiter->handle = handle;
  waiter->fd = (ErlNifEvent)fd;
  enif_mutex_lock(db->lock);
  const int is_first = db->waiter == NULL;
  if (is_first) db->waiter = waiter;
  *out = db->waiter;
  enif_mutex_unlock(db->lock);
  /* Another process was faster, or else the reference is the database's. */
  if (!is_first) enif_release_resource(waiter);
  return HONKER_OK;
}
