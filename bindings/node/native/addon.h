/*
 * The addon's own types. Everything belongs to one environment of Node's (the main thread, or a
 * worker thread): there is no static state.
 *
 * A database has at most one thread, which runs the calls that were submitted (database.c), and at
 * most one place to wait (waiter.c). Values of JavaScript are read and made on the environment's
 * thread only (values.c); in between, a call is plain memory.
 */
#ifndef HONKER_NODE_ADDON_H
#define HONKER_NODE_ADDON_H

#define NAPI_VERSION 8
#include <node_api.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "library.h"
#include "os.h"

typedef struct instance instance_t;
typedef struct database database_t;

/* The functions of libuv that the addon uses, looked up when they are first needed: Bun has them,
 * and aborts when they are called. Handles are opaque, and their size is asked for: it differs
 * between versions of Node. */
typedef struct {
  size_t (*handle_size)(int type);
  int (*poll_init)(void *loop, void *handle, int fd);
  int (*poll_start)(void *handle, int events,
                    void (*callback)(void *handle, int status, int events));
  int (*poll_stop)(void *handle);
  void (*close)(void *handle, void (*callback)(void *handle));
  void (*ref)(void *handle);
  void (*unref)(void *handle);
} uv_t;

/* One environment. */
struct instance {
  napi_env env;
  library_t lib;
  bool loaded;
  bool polls; /* whether libuv is to be used */
  uv_t uv;
  napi_ref failure; /* makes an error of (status, name, message, sqlite code, extended code) */
  napi_ref warn;    /* is given an error that a call left although it succeeded */
  napi_threadsafe_function deliver;
  size_t pending; /* calls of which the results have not been delivered */
};

/* A parameter of a call: a text or a pointer, or a number. */
typedef struct {
  const void *data;
  size_t len;
  int64_t number;
} slot_t;

#define SLOTS_MAX 8
#define INLINE_BYTES 1024

typedef struct chunk {
  struct chunk *next;
  char bytes[];
} chunk_t;

struct operation;

/* One call, from its arguments to its result. */
typedef struct call {
  instance_t *in;
  database_t *database;
  const struct operation *operation;
  honker_db_t *db;
  honker_tx_t *tx;
  honker_waiter_t *waiter;
  uint64_t token;
  slot_t slots[SLOTS_MAX];
  /* results */
  honker_status_t status;
  honker_error_t *error;
  int64_t integer;
  void *pointer;
  honker_notification_view_t notification;
  honker_event_view_t event;
  /* of those that are submitted */
  struct call *next;
  int64_t deadline_ms;
  napi_deferred deferred;
  napi_ref keep; /* what must not be collected meanwhile */
  /* memory of the arguments */
  chunk_t *chunks;
  size_t used;
  bool on_heap;
  _Alignas(16) char bytes[INLINE_BYTES];
} call_t;

/* How the result is to be read. */
typedef enum {
  OUT_STATUS,
  OUT_INTEGER,
  OUT_ENQUEUED,
  OUT_TEXT,
  OUT_JOBS,
  OUT_EVENTS,
  OUT_FIRES,
  OUT_ROWS,
  OUT_RESULTS,
  OUT_NOTIFICATION,
  OUT_EVENT,
  OUT_HANDLE,
  OUT_SETTLED,
} out_t;

enum {
  WRITES = 1, /* may wait for the writer: not while a transaction is open, unless it is of that */
  BEGINS = 2, /* begins a transaction */
  ENDS = 4,   /* ends one */
  OPENS = 8,  /* opens the database */
};

typedef struct operation {
  const char *name;
  const char *signature;
  out_t out;
  int flags;
  honker_status_t (*run)(library_t *lib, call_t *call);
  const char *frees; /* what frees the handle it makes */
} operation_t;

extern const operation_t operations[];
extern const size_t operations_count;

/* A handle of the library's that JavaScript holds. */
typedef struct {
  database_t *database;
  void *pointer;
  void (*free)(library_t *lib, void *pointer);
  bool transaction; /* it is an open transaction, which ends with it */
} handle_t;

struct database {
  instance_t *in;
  honker_db_t *db;
  int64_t busy_timeout_ms;
  atomic_int users; /* the object of JavaScript's, its handles, calls that are submitted, the poll
                       handle */
  bool closed;
  bool opening; /* on the thread */
  /* the thread, and what it shares */
  os_lock_t lock;
  os_condition_t changed;
  os_thread_t thread;
  bool has_thread;
  bool stop;
  bool in_transaction; /* open, or about to be */
  bool writing;        /* the thread is in a call that may wait for the writer */
  bool calling;        /* so is the environment's thread */
  call_t *first;
  call_t **last;
  /* the place to wait */
  honker_waiter_t *waiter;
  void *poll;
  os_thread_t wait_thread;
  bool has_wait_thread;
  atomic_bool wait_stop;
  napi_ref on_ready;
  napi_async_cleanup_hook_handle hook;
  bool hook_ran;
};

/* --- values.c --- */

#define TRY(call)                        \
  do {                                   \
    if ((call) != napi_ok) return false; \
  } while (0)

/* Throws a TypeError, unless something was thrown already; false. */
bool wrong(napi_env env, const char *message);
void *call_memory(call_t *call, size_t size);
/* Reads the arguments of a call, as its operation's signature says. False, and an exception, if
 * they do not fit. */
bool call_read(napi_env env, call_t *call, napi_value *arguments, size_t count);
/* The result of a call that has run, without an error. What it holds of the library's is freed. */
bool call_result(napi_env env, call_t *call, napi_value *result);
/* The error that a call left, as an object of JavaScript's. */
bool call_error(napi_env env, call_t *call, napi_value *result);
bool make_failure(napi_env env, instance_t *in, honker_status_t status, const char *message,
                  napi_value *result);
/* Frees what a call holds, of the library's and of its own. */
void call_free(call_t *call);
bool handle_make(napi_env env, database_t *database, const operation_t *operation, void *pointer,
                 napi_value *result);

/* --- database.c --- */

napi_value database_new(napi_env env, napi_callback_info info);
napi_value database_call(napi_env env, napi_callback_info info);
napi_value database_submit(napi_env env, napi_callback_info info);
napi_value database_close(napi_env env, napi_callback_info info);
napi_value handle_free(napi_env env, napi_callback_info info);
void database_release(database_t *database);
void transaction_over(database_t *database);
/* One more, or one less, of what keeps the program running. */
void count_pending(napi_env env, instance_t *in, int by);
/* A result for the environment's thread (the threadsafe function's). */
void deliver(napi_env env, napi_value callback, void *context, void *data);

/* --- waiter.c --- */

napi_value waiter_start(napi_env env, napi_callback_info info);
napi_value waiter_ref(napi_env env, napi_callback_info info);
/* Ends it; the memory of its poll handle goes later. */
void waiter_stop(database_t *database);
void waiter_deliver(napi_env env, database_t *database, const uint64_t *tokens, size_t count,
                    honker_status_t status);

/* What goes through the threadsafe function: a call that has run, or what is ready. */
typedef struct {
  call_t *call;
  database_t *database;
  honker_status_t status;
  size_t count;
  uint64_t tokens[];
} message_t;

#endif
