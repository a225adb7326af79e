/*
 * Databases, and how they are called: on the environment's thread, or, for calls that may wait, on
 * the one thread that a database has (not in libuv's pool, which file system calls share). That
 * thread does what was submitted in order, with one exception: while a transaction is open, calls
 * that write and are not part of it stay behind, for as long as the busy timeout. A call of the
 * environment's thread that would wait for a transaction of the same database fails instead: it
 * would stop the only code that can commit.
 */
#include <stdlib.h>
#include <string.h>

#include "addon.h"

static const char in_transaction[] =
    "a transaction is open on this thread; pass tx or use the async form";

static void fail_with(call_t *call, honker_status_t status) { call->status = status; }

/* --- Memory. --- */

void database_release(database_t *database) {
  if (atomic_fetch_sub(&database->users, 1) != 1) return;
  os_lock_free(&database->lock);
  os_condition_free(&database->changed);
  free(database);
}

void transaction_over(database_t *database) {
  os_lock(&database->lock);
  database->in_transaction = false;
  os_wake_all(&database->changed);
  os_unlock(&database->lock);
}

/* --- The thread. --- */

static void finish(call_t *call) {
  /* It is only refused when the environment ends, which waits for this thread first. */
  message_t *message = calloc(1, sizeof *message);
  if (message == NULL) abort();
  message->call = call;
  napi_call_threadsafe_function(call->in->deliver, message, napi_tsfn_blocking);
}

/* While the environment's thread is in a call that writes no transaction is begun: if it came first
 * to the writer, that thread would wait for it, and nobody could commit. */
static bool may_run(const database_t *database, const call_t *call) {
  if (call->tx != NULL || !(call->operation->flags & WRITES) || database->stop) return true;
  return !database->in_transaction && !(database->calling && (call->operation->flags & BEGINS));
}

/* The next call that may run, taken out of the line; or one whose time is over, with the status
 * BUSY. NULL if there is none, and how long to wait for one in `timeout_ms`. */
static call_t *take(database_t *database, int64_t *timeout_ms) {
  const int64_t now = os_now_ms();
  *timeout_ms = -1;
  for (call_t **place = &database->first; *place != NULL; place = &(*place)->next) {
    call_t *call = *place;
    const bool late = !may_run(database, call);
    if (late && call->deadline_ms > now) {
      if (*timeout_ms < 0 || call->deadline_ms - now < *timeout_ms)
        *timeout_ms = call->deadline_ms - now;
      continue;
    }
    *place = call->next;
    if (database->last == &call->next) database->last = place;
    call->next = NULL;
    call->status = late ? HONKER_BUSY : HONKER_OK;
    return call;
  }
  return NULL;
}

static void run(database_t *database, call_t *call) {
  const int flags = call->operation->flags;
  call->status = call->operation->run(&database->in->lib, call);
  os_lock(&database->lock);
  if (((flags & BEGINS) && call->status != HONKER_OK) || (flags & ENDS))
    database->in_transaction = false;
  database->writing = false;
  os_wake_all(&database->changed);
  os_unlock(&database->lock);
}

static OS_THREAD_RESULT serve(void *argument) {
  database_t *database = argument;
  os_lock(&database->lock);
  for (;;) {
    int64_t timeout_ms;
    call_t *call = take(database, &timeout_ms);
    if (call == NULL) {
      if (database->stop) break;
      os_wait(&database->changed, &database->lock, timeout_ms);
      continue;
    }
    if (call->status == HONKER_OK && (call->operation->flags & WRITES) && call->tx == NULL)
      database->writing = true;
    if (call->status == HONKER_OK && (call->operation->flags & BEGINS))
      database->in_transaction = true;
    os_unlock(&database->lock);
    if (call->status == HONKER_OK) run(database, call);
    finish(call);
    os_lock(&database->lock);
  }
  os_unlock(&database->lock);
  return 0;
}

/* --- On the environment's thread. --- */

static bool arguments_of(napi_env env, napi_callback_info info, napi_value *arguments,
                         size_t *count, instance_t **in, database_t **database) {
  void *found = NULL;
  TRY(napi_get_cb_info(env, info, count, arguments, NULL, (void **)in));
  if (*count < 1 || napi_get_value_external(env, arguments[0], &found) != napi_ok) {
    return wrong(env, "a database is expected");
  }
  *database = found;
  return true;
}

#define ARGUMENTS_MAX (SLOTS_MAX + 3)

/* The arguments are a database, the number of an operation, a transaction or nothing, and those of
 * the operation. */
static bool prepare(napi_env env, call_t *call, instance_t *in, database_t *database,
                    napi_value *arguments, size_t count) {
  uint32_t number = 0;
  napi_valuetype type = napi_undefined;
  if (count < 3 || napi_get_value_uint32(env, arguments[1], &number) != napi_ok ||
      number >= operations_count) {
    return wrong(env, "there is no such operation");
  }
  call->in = in;
  call->database = database;
  call->operation = &operations[number];
  call->db = database->db;
  call->notification = (honker_notification_view_t)HONKER_NOTIFICATION_VIEW_INIT;
  call->event = (honker_event_view_t)HONKER_EVENT_VIEW_INIT;
  TRY(napi_typeof(env, arguments[2], &type));
  if (type == napi_external) {
    void *found = NULL;
    TRY(napi_get_value_external(env, arguments[2], &found));
    handle_t *handle = found;
    call->tx = handle->pointer;
    /* One that is over: the library says so. */
    if (call->tx == NULL) call->tx = (honker_tx_t *)(uintptr_t)1;
    /* From now on it is this call that ends it, and no longer the end of its handle, which may be
     * collected while another transaction is open. */
    if (call->operation->flags & ENDS) handle->transaction = false;
  }
  return call_read(env, call, arguments + 3, count - 3);
}

static void call_init(call_t *call) { memset(call, 0, offsetof(call_t, bytes)); }

static napi_value throw_status(napi_env env, instance_t *in, honker_status_t status,
                               const char *message) {
  napi_value error;
  if (make_failure(env, in, status, message, &error)) napi_throw(env, error);
  return NULL;
}

static void end_of_transaction(call_t *call) {
  if ((call->operation->flags & BEGINS && call->status != HONKER_OK) ||
      (call->operation->flags & ENDS)) {
    transaction_over(call->database);
  }
}

napi_value database_call(napi_env env, napi_callback_info info) {
  napi_value arguments[ARGUMENTS_MAX], result = NULL;
  size_t count = ARGUMENTS_MAX;
  instance_t *in;
  database_t *database;
  if (!arguments_of(env, info, arguments, &count, &in, &database)) return NULL;
  call_t call;
  call_init(&call);
  if (!prepare(env, &call, in, database, arguments, count)) {
    call_free(&call);
    return NULL;
  }
  const int flags = call.operation->flags;
  const bool alone = (flags & WRITES) && call.tx == NULL;
  if (alone) {
    os_lock(&database->lock);
    const bool nested = database->in_transaction;
    database->calling = !nested;
    if (!nested && (flags & BEGINS)) {
      database->in_transaction = true;
      /* What the thread is doing ends by itself: begun before it, this transaction would keep it
       * waiting. */
      while (database->writing) os_wait(&database->changed, &database->lock, -1);
    }
    os_unlock(&database->lock);
    if (nested) {
      call_free(&call);
      return throw_status(env, in, HONKER_MISUSE, in_transaction);
    }
  }
  call.status = call.operation->run(&in->lib, &call);
  if (alone) {
    os_lock(&database->lock);
    database->calling = false;
    if (database->first != NULL) os_wake_all(&database->changed);
    os_unlock(&database->lock);
  }
  end_of_transaction(&call);
  if (call.status < 0 && call.operation->out != OUT_SETTLED) {
    napi_value error;
    if (call_error(env, &call, &error)) napi_throw(env, error);
  } else if (!call_result(env, &call, &result)) {
    wrong(env, "the result could not be made");
  }
  call_free(&call);
  return result;
}

static bool start_thread(database_t *database) {
  if (!database->has_thread)
    database->has_thread = os_thread_start(&database->thread, serve, database);
  return database->has_thread;
}

void count_pending(napi_env env, instance_t *in, int by) {
  if (in->pending == 0 && by > 0) napi_ref_threadsafe_function(env, in->deliver);
  in->pending += by;
  if (in->pending == 0 && by < 0) napi_unref_threadsafe_function(env, in->deliver);
}

/* A promise of the result; of an error as well, which is its value: whoever waits throws it. */
napi_value database_submit(napi_env env, napi_callback_info info) {
  napi_value arguments[ARGUMENTS_MAX], promise = NULL;
  size_t count = ARGUMENTS_MAX;
  instance_t *in;
  database_t *database;
  if (!arguments_of(env, info, arguments, &count, &in, &database)) return NULL;
  call_t *call = malloc(sizeof *call);
  if (call == NULL) abort();
  call_init(call);
  call->on_heap = true;
  if (!prepare(env, call, in, database, arguments, count) ||
      napi_create_promise(env, &call->deferred, &promise) != napi_ok) {
    wrong(env, "no promise could be made");
    call_free(call);
    return NULL;
  }
  os_lock(&database->lock);
  const bool can = !database->stop && start_thread(database);
  if (can) {
    call->deadline_ms = os_now_ms() + database->busy_timeout_ms;
    *database->last = call;
    database->last = &call->next;
    atomic_fetch_add(&database->users, 1);
    os_wake_all(&database->changed);
  }
  os_unlock(&database->lock);
  if (can) {
    if (call->operation->flags & OPENS) database->opening = true;
    count_pending(env, in, 1);
    return promise;
  }
  napi_value error;
  const bool closed = database->stop;
  if (make_failure(env, in, closed ? HONKER_CLOSED_HANDLE : HONKER_SYSTEM,
                   closed ? "Database is closed" : "no thread could be started", &error)) {
    napi_resolve_deferred(env, call->deferred, error);
  }
  call_free(call);
  return promise;
}

static void settle(napi_env env, call_t *call) {
  napi_value value = NULL, undefined;
  bool made;
  if (call->status < 0 && call->operation->out != OUT_SETTLED) {
    made = call->error == NULL && call->status == HONKER_BUSY
               ? make_failure(
                     env, call->in, HONKER_BUSY,
                     "a transaction of this database was open for longer than the busy timeout",
                     &value)
               : call_error(env, call, &value);
  } else if (call->status == HONKER_BUSY && call->error == NULL) {
    made = make_failure(env, call->in, HONKER_BUSY,
                        "a transaction of this database was open for longer than the busy timeout",
                        &value);
  } else {
    made = call_result(env, call, &value);
  }
  if (made) {
    napi_resolve_deferred(env, call->deferred, value);
    return;
  }
  /* An exception: of a hook for warnings, or memory that could not be had. */
  if (napi_get_and_clear_last_exception(env, &value) == napi_ok) {
    napi_reject_deferred(env, call->deferred, value);
  } else if (napi_get_undefined(env, &undefined) == napi_ok) {
    napi_reject_deferred(env, call->deferred, undefined);
  }
}

void deliver(napi_env env, napi_value callback, void *context, void *data) {
  (void)callback;
  (void)context;
  message_t *message = data;
  call_t *call = message->call;
  if (call == NULL) {
    if (env != NULL)
      waiter_deliver(env, message->database, message->tokens, message->count, message->status);
    database_release(message->database);
  } else {
    database_t *database = call->database;
    if (call->operation->flags & OPENS) database->opening = false;
    if (env != NULL) {
      settle(env, call);
      count_pending(env, call->in, -1);
    }
    call_free(call);
    database_release(database);
  }
  free(message);
}

/* --- Opening and closing. --- */

static void end_thread(database_t *database) {
  if (!database->has_thread) return;
  os_lock(&database->lock);
  database->stop = true;
  os_wake_all(&database->changed);
  os_unlock(&database->lock);
  os_thread_join(database->thread);
  database->has_thread = false;
}

/* Ends everything that runs or waits, and the thread. The file is nobody's then. */
static void close_now(database_t *database, honker_error_t **error, honker_status_t *status) {
  if (database->closed) return;
  database->closed = true;
  waiter_stop(database);
  /* Nothing can end that but its own busy timeout, and there is nothing to close before. */
  if (database->opening) end_thread(database);
  if (database->db != NULL) {
    const honker_status_t closed = database->in->lib.close(database->db, error);
    if (status != NULL) *status = closed;
  }
  end_thread(database);
  database->stop = true;
}

/* The environment ends. A poll handle that is still closing is waited for. */
static void on_cleanup(napi_async_cleanup_hook_handle hook, void *data) {
  database_t *database = data;
  (void)hook;
  database->hook_ran = true;
  close_now(database, NULL, NULL);
  if (database->poll == NULL) {
    napi_remove_async_cleanup_hook(database->hook);
    database->hook = NULL;
  }
}

static void on_collected(napi_env env, void *data, void *hint) {
  database_t *database = data;
  (void)env;
  (void)hint;
  close_now(database, NULL, NULL);
  if (database->hook != NULL && !database->hook_ran) {
    napi_remove_async_cleanup_hook(database->hook);
    database->hook = NULL;
  }
  database_release(database);
}

/* A database without a file, for the operation `open`; the busy timeout. */
napi_value database_new(napi_env env, napi_callback_info info) {
  napi_value argument, result = NULL;
  size_t count = 1;
  instance_t *in;
  int64_t busy_timeout_ms = 0;
  if (napi_get_cb_info(env, info, &count, &argument, NULL, (void **)&in) != napi_ok ||
      napi_get_value_int64(env, argument, &busy_timeout_ms) != napi_ok) {
    wrong(env, "a busy timeout is expected");
    return NULL;
  }
  database_t *database = calloc(1, sizeof *database);
  if (database == NULL) abort();
  database->in = in;
  database->busy_timeout_ms = busy_timeout_ms;
  database->last = &database->first;
  atomic_init(&database->users, 1);
  os_lock_init(&database->lock);
  os_condition_init(&database->changed);
  if (napi_create_external(env, database, on_collected, NULL, &result) == napi_ok) {
    napi_add_async_cleanup_hook(env, on_cleanup, database, &database->hook);
  } else {
    database_release(database);
  }
  return result;
}

napi_value database_close(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  size_t count = 1;
  call_t call;
  call_init(&call);
  if (!arguments_of(env, info, arguments, &count, &call.in, &call.database)) return NULL;
  close_now(call.database, &call.error, &call.status);
  /* Closed before, on the thread. */
  if (call.status == HONKER_MISUSE || call.status == HONKER_CLOSED_HANDLE)
    fail_with(&call, HONKER_OK);
  if (call.status < 0) {
    napi_value error;
    static const operation_t close = {"close", "", OUT_STATUS, 0, NULL, NULL};
    call.operation = &close;
    if (call_error(env, &call, &error)) napi_throw(env, error);
  }
  if (call.error != NULL) call.in->lib.error_free(call.error);
  return NULL;
}

/* --- Handles. --- */

static void handle_end(handle_t *handle) {
  void *pointer = handle->pointer;
  handle->pointer = NULL;
  if (pointer == NULL) return;
  handle->free(&handle->database->in->lib, pointer);
  if (handle->transaction) transaction_over(handle->database);
}

static void on_handle_collected(napi_env env, void *data, void *hint) {
  handle_t *handle = data;
  (void)env;
  (void)hint;
  handle_end(handle);
  database_release(handle->database);
  free(handle);
}

#define FREE(name) \
  static void free_##name(library_t *lib, void *pointer) { lib->name##_free(pointer); }
#define KINDS(F) \
  F(tx)          \
  F(waiter) F(updates) F(listener) F(result_wait) F(subscription) F(worker) F(leader) F(outbox)
KINDS(FREE)

bool handle_make(napi_env env, database_t *database, const operation_t *operation, void *pointer,
                 napi_value *result) {
#define KIND(name) {#name, free_##name},
  static const struct {
    const char *name;
    void (*free)(library_t *, void *);
  } kinds[] = {KINDS(KIND)};
  handle_t *handle = calloc(1, sizeof *handle);
  if (handle == NULL) abort();
  handle->database = database;
  handle->pointer = pointer;
  handle->transaction = (operation->flags & BEGINS) != 0;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if (strcmp(kinds[i].name, operation->frees) == 0) handle->free = kinds[i].free;
  }
  atomic_fetch_add(&database->users, 1);
  if (napi_create_external(env, handle, on_handle_collected, NULL, result) == napi_ok) return true;
  on_handle_collected(env, handle, NULL);
  return false;
}

/* Frees what it stands for, now. */
napi_value handle_free(napi_env env, napi_callback_info info) {
  napi_value argument;
  size_t count = 1;
  void *found = NULL;
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) == napi_ok &&
      napi_get_value_external(env, argument, &found) == napi_ok) {
    handle_end(found);
  }
  return NULL;
}
