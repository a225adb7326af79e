/* What the files of the testee share: handles, calls, and the values that requests and answers are
 * made of. */
#ifndef TESTEE_H
#define TESTEE_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "honker.h"

/* The key of a request's number, in it and in its answer. */
#define REQUEST_ID (json_object_get(request, "seq") != NULL ? "seq" : "id")

/* What a handle is, one bit each, so that an operation can say what it works on. */
enum { NOTHING = 0, DB = 1, TX = 2, QUEUE = 4, STREAM = 8, LOCK = 16, OUTBOX = 32, WORKER = 64 };
enum { LISTENER = 128, SUBSCRIPTION = 256, UPDATES = 512, LEADER = 1024, DELIVERY = 2048 };
enum { CONSUMER = WORKER | LISTENER | SUBSCRIPTION | UPDATES, ANY = 4095 };

/* What `as` made. It lives until `reset`, closed or not: a closed one shows what the library says
 * to its use. */
typedef struct handle {
  struct handle *next, *on; /* next: the one made before it */
  int kind;
  const char *name;
  json_t *about; /* the request that made it, which has the name */
  honker_db_t *db;
  honker_waiter_t *waiter;
  union {
    honker_tx_t *tx;
    honker_worker_t *worker;
    honker_listener_t *listener;
    honker_subscription_t *subscription;
    honker_updates_t *updates;
    honker_leader_t *leader;
    honker_outbox_t *delivery;
  } is;
  json_t *calls;           /* of an outbox: what was to be delivered */
  pthread_t thread;        /* of a runner */
  pthread_rwlock_t in_use; /* a call reads, closing writes */
  bool runs, replaced;
} handle_t;

/* One request while it is done. */
typedef struct {
  json_t *request, *answer;
  handle_t *on, *made;
  honker_db_t *db;
  honker_tx_t *tx;
  honker_status_t status;
  honker_error_t *err;
  int64_t number; /* from here on: what the library returned */
  honker_text_t *text;
  honker_jobs_t *jobs;
  honker_events_t *events;
  honker_fires_t *fires;
  honker_rows_t *rows;
  json_t *json;
  union { /* how the library is asked */
    honker_enqueue_opts_t enqueue;
    honker_worker_opts_t worker;
    honker_subscription_opts_t subscription;
    honker_schedule_opts_t schedule;
    honker_schedule_update_t update;
    honker_outbox_opts_t outbox;
  } opts;
  honker_enqueue_opts_t job; /* of a schedule */
} call_t;

/* What the calls of `c` are written with. OF: what `on` was made with. */
#define TEXT(object, key) text(object, key).data, text(object, key).len
#define ARG(key) TEXT(c->request, key)
#define OF(key) TEXT(c->on->about, key)
#define INT(key) number(c->request, key, 0)
#define INT_OR(key, otherwise) number(c->request, key, otherwise)
#define IN c->db, c->tx
#define E &c->err
/* Does one thing more with the library, unless the one before has failed. */
#define TRY(call) (c->status < 0 ? c->status : (c->status = (call)))

/* values.c */
honker_bytes_t text(const json_t *object, const char *key); /* NULL if there is none */
int64_t number(const json_t *object, const char *key, int64_t otherwise);
void make_plain(json_t *request);
honker_value_t *parameters(const json_t *list, size_t *len);
json_t *as_value(honker_bytes_t bytes);
json_t *as_event(const honker_event_view_t *view);
json_t *as_notification(const honker_notification_view_t *view);
json_t *value(call_t *c); /* these seven free what the library returned; NULL if that was nothing */
json_t *table(call_t *c);
json_t *jobs(call_t *c);
json_t *batch(call_t *c); /* what a worker has claimed, and lost */
json_t *events(call_t *c);
json_t *fires(call_t *c);
json_t *rows(call_t *c);

/* handles.c */
extern handle_t *handles;         /* the newest; under the lock */
handle_t *find(const char *name); /* under the lock */
honker_status_t release(const handle_t *lock, honker_error_t **err);
honker_status_t close_handle(handle_t *handle, honker_error_t **err);
handle_t *make_handle(const call_t *c, const char *name);
void keep_handle(handle_t *handle, bool is_open);
void free_handle(handle_t *handle);
honker_status_t open_outbox(call_t *c);
const honker_outbox_opts_t *outbox_opts(call_t *c);
honker_status_t run_once(call_t *c);
honker_status_t outbox_calls(call_t *c);
honker_status_t start(call_t *c);

/* worker.c */
const honker_worker_opts_t *worker_opts(call_t *c);
honker_status_t open_worker(call_t *c);
honker_status_t settle(call_t *c);

/* options.c */
const honker_enqueue_opts_t *enqueue_opts(call_t *c);
const honker_subscription_opts_t *subscription_opts(call_t *c);
const honker_schedule_opts_t *schedule_opts(call_t *c);
const honker_schedule_update_t *schedule_update(call_t *c);

/* operations.c */
json_t *perform(json_t *request); /* its answer */

/* testee.c */
void lock(void);
void unlock(void);

#endif
