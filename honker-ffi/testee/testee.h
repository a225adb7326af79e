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

#define REQUEST_ID "seq"

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
    honker_leader_t *leader;
    honker_outbox_t *delivery;
  } is;
  json_t *calls;    /* of an outbox: what was to be delivered */
  pthread_t thread; /* of a runner */
  bool runs, replaced;
  int users; /* calls that are running with it */
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
} call_t;

/* values.c */
honker_bytes_t text(const json_t *object, const char *key); /* NULL if there is none */
int64_t number(const json_t *object, const char *key, int64_t otherwise);
json_t *as_text(honker_bytes_t bytes);
json_t *as_value(honker_bytes_t bytes);
json_t *as_table(honker_bytes_t json); /* with payloads as values */
void make_plain(json_t *request);
honker_value_t *parameters(const json_t *list, size_t *len);
json_t *as_sql(const honker_value_t *value);

/* operations.c */
json_t *perform(json_t *request); /* its answer */
honker_status_t close_handle(handle_t *handle, honker_error_t **err);
void free_handle(handle_t *handle);

/* testee.c */
extern handle_t *handles; /* the newest */
void lock(void);
void unlock(void);
void changed(void);         /* wakes who waits */
void wait_for_change(void); /* under the lock */

#endif
