/*
 * The place where everything that waits for a database does so. With Node on POSIX systems it is a
 * poll handle of the environment's own event loop on the waiter's descriptor; with Bun, whose libuv
 * is a stub, and on Windows, where there is no descriptor, a thread waits in the library. Either
 * way JavaScript is called with the tokens of those that have work.
 */
#include <stdlib.h>

#include "addon.h"

#define UV_POLL_TYPE 8 /* of uv_handle_type, the same since libuv 1.0 */
#define UV_POLL_READABLE 1
#define TOKENS 64

/* By napi_make_callback, so that promises that the call settles go on at once. */
void waiter_deliver(napi_env env, database_t *database, const uint64_t *tokens, size_t count,
                    honker_status_t status) {
  napi_handle_scope scope;
  napi_value callback = NULL, receiver, arguments[2], value, ignored;
  if (database->on_ready == NULL || napi_open_handle_scope(env, &scope) != napi_ok) return;
  bool ok = napi_get_reference_value(env, database->on_ready, &callback) == napi_ok &&
            callback != NULL && napi_get_global(env, &receiver) == napi_ok &&
            napi_create_array(env, &arguments[0]) == napi_ok &&
            napi_create_int32(env, status, &arguments[1]) == napi_ok;
  for (size_t i = 0; ok && i < count; i++) {
    ok = napi_create_int64(env, (int64_t)tokens[i], &value) == napi_ok &&
         napi_set_element(env, arguments[0], (uint32_t)i, value) == napi_ok;
  }
  if (ok && napi_make_callback(env, NULL, receiver, callback, 2, arguments, &ignored) ==
                napi_pending_exception) {
    /* Not of a user's function, which run in promises. */
    if (napi_get_and_clear_last_exception(env, &value) == napi_ok) napi_fatal_exception(env, value);
  }
  napi_close_handle_scope(env, scope);
}

/* --- By the event loop. --- */

/* In front of a poll handle, of whose content nothing is known, stands whose it is. */
typedef union {
  database_t *database;
  char room[16];
} front_t;

static database_t *handle_data(void *handle) { return ((front_t *)handle - 1)->database; }

static void on_readable(void *handle, int status, int events) {
  (void)status;
  (void)events;
  database_t *database = handle_data(handle);
  uint64_t tokens[TOKENS];
  size_t count = TOKENS;
  while (count == TOKENS && database->waiter != NULL) {
    const honker_status_t is =
        database->in->lib.waiter_ready(database->waiter, tokens, TOKENS, &count, NULL);
    /* From now on always: a level-triggered loop would spin. */
    if (is < 0 || is == HONKER_CLOSED) {
      database->in->uv.poll_stop(handle);
      count = 0;
    }
    if (count > 0 || is < 0 || is == HONKER_CLOSED)
      waiter_deliver(database->in->env, database, tokens, count, is);
  }
}

static void on_closed(void *handle) {
  database_t *database = handle_data(handle);
  free((front_t *)handle - 1);
  database->poll = NULL;
  if (database->hook_ran && database->hook != NULL) {
    napi_remove_async_cleanup_hook(database->hook);
    database->hook = NULL;
  }
  database_release(database);
}

static bool look_up(uv_t *uv) {
#define LOOK(field, name) \
  if ((uv->field = (__typeof__(uv->field))os_program_symbol(name)) == NULL) return false
  LOOK(handle_size, "uv_handle_size");
  LOOK(poll_init, "uv_poll_init");
  LOOK(poll_start, "uv_poll_start");
  LOOK(poll_stop, "uv_poll_stop");
  LOOK(close, "uv_close");
  LOOK(ref, "uv_ref");
  LOOK(unref, "uv_unref");
  return true;
}

static bool start_polling(napi_env env, database_t *database, int fd) {
  instance_t *in = database->in;
  struct uv_loop_s *loop = NULL;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok || loop == NULL) return false;
  if (in->uv.close == NULL && !look_up(&in->uv)) return false;
  front_t *front = calloc(1, sizeof *front + in->uv.handle_size(UV_POLL_TYPE));
  if (front == NULL) abort();
  front->database = database;
  void *handle = front + 1;
  if (in->uv.poll_init(loop, handle, fd) != 0) {
    free(front);
    return false;
  }
  in->uv.unref(handle);
  database->poll = handle;
  atomic_fetch_add(&database->users, 1);
  return in->uv.poll_start(handle, UV_POLL_READABLE, on_readable) == 0;
}

/* --- By a thread. --- */

static OS_THREAD_RESULT wait_for_work(void *argument) {
  database_t *database = argument;
  library_t *lib = &database->in->lib;
  for (;;) {
    honker_status_t status = lib->wait(database->waiter, -1, NULL);
    if (atomic_load(&database->wait_stop)) break;
    message_t *message = calloc(1, sizeof *message + TOKENS * sizeof *message->tokens);
    if (message == NULL) abort();
    message->database = database;
    message->count = 0;
    if (status == HONKER_OK || status == HONKER_WOKEN) {
      status = lib->waiter_ready(database->waiter, message->tokens, TOKENS, &message->count, NULL);
    }
    message->status = status;
    const bool over = status == HONKER_CLOSED || (status < 0 && status != HONKER_INTERRUPTED);
    if (message->count == 0 && !over) {
      free(message);
      continue;
    }
    atomic_fetch_add(&database->users, 1);
    if (napi_call_threadsafe_function(database->in->deliver, message, napi_tsfn_blocking) !=
        napi_ok) {
      atomic_fetch_sub(&database->users, 1);
      free(message);
      break;
    }
    if (over) break;
  }
  return 0;
}

/* --- Both. --- */

/* A database, a waiter's handle, and the function to be called. The handle is to be kept for as
 * long. */
napi_value waiter_start(napi_env env, napi_callback_info info) {
  napi_value arguments[3], result = NULL;
  size_t count = 3;
  void *found = NULL, *waiter = NULL;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count < 3 ||
      napi_get_value_external(env, arguments[0], &found) != napi_ok ||
      napi_get_value_external(env, arguments[1], &waiter) != napi_ok) {
    wrong(env, "a database and a waiter are expected");
    return NULL;
  }
  database_t *database = found;
  if (database->waiter != NULL) return NULL;
  database->waiter = ((handle_t *)waiter)->pointer;
  if (napi_create_reference(env, arguments[2], 1, &database->on_ready) != napi_ok) return NULL;
  int64_t fd = -1;
  bool started = false;
  if (database->in->polls &&
      database->in->lib.waiter_fd(database->waiter, &fd, NULL) == HONKER_OK) {
    started = start_polling(env, database, (int)fd);
  }
  if (!started && database->poll == NULL) {
    started = database->has_wait_thread =
        os_thread_start(&database->wait_thread, wait_for_work, database);
  }
  napi_get_boolean(env, started, &result);
  return result;
}

/* Whether it keeps the program running. */
napi_value waiter_ref(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  size_t count = 2;
  void *found = NULL;
  bool on = false;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count < 2 ||
      napi_get_value_external(env, arguments[0], &found) != napi_ok ||
      napi_get_value_bool(env, arguments[1], &on) != napi_ok) {
    return NULL;
  }
  database_t *database = found;
  instance_t *in = database->in;
  if (database->poll != NULL && !database->closed) {
    (on ? in->uv.ref : in->uv.unref)(database->poll);
  } else if (database->poll == NULL) {
    count_pending(env, in, on ? 1 : -1);
  }
  return NULL;
}

void waiter_stop(database_t *database) {
  if (database->waiter == NULL) return;
  instance_t *in = database->in;
  if (database->poll != NULL) {
    in->uv.poll_stop(database->poll);
    in->uv.close(database->poll, on_closed);
  }
  if (database->has_wait_thread) {
    atomic_store(&database->wait_stop, true);
    in->lib.waiter_free(database->waiter);
    os_thread_join(database->wait_thread);
    database->has_wait_thread = false;
  }
  database->waiter = NULL;
  if (database->on_ready != NULL) napi_delete_reference(in->env, database->on_ready);
  database->on_ready = NULL;
}
