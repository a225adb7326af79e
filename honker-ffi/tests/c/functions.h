/*
 * A table of all functions, with a call of each that succeeds on a prepared database. What holds of
 * all functions alike (wrong handles, bad text, NULL outputs, panics, forks) is tested by going
 * through it, each time with one thing of the call made wrong.
 */
#ifndef FUNCTIONS_H
#define FUNCTIONS_H

#include "check.h"

/* Which handles a function takes, in the order of `handles`. */
enum {
  DB,
  TX,
  ROWS,
  JOBS,
  EVENTS,
  FIRES,
  TEXT,
  ERROR,
  WAITER,
  WORKER,
  LISTENER,
  SUBSCRIPTION,
  LEADER,
  OUTBOX,
  RESULT_WAIT,
  UPDATES,
  KINDS
};
#define TAKES(kind) (1u << (kind))
/* The transaction may be NULL. */
#define MAY_TX (1u << KINDS)

/* What else a function is. */
enum {
  FALLIBLE = 1, /* it takes `err` */
  FREES = 2,    /* it cannot fail, and takes anything */
  TELLS = 4,    /* it answers something else than a status */
  ENDS = 8,     /* after it, a handle it was given cannot be used as before */
};

typedef enum {
  TEXT_GOOD,
  TEXT_NULL,
  TEXT_NOT_UTF8,
  TEXT_WITH_NUL,
  TEXT_HUGE,
  TEXT_VARIANTS
} text_variant_t;
typedef enum {
  STRUCT_GOOD,
  STRUCT_EMPTY,
  STRUCT_TOO_SHORT,
  STRUCT_ODD,
  STRUCT_TOO_LONG,
  STRUCT_OLDER,
  STRUCT_NEWER,
  STRUCT_NEWER_SET,
  STRUCT_RESERVED_SET,
  STRUCT_VARIANTS
} struct_variant_t;

enum { OUTPUTS_MAX = 2, OUTPUT_MAX = 256 };

typedef struct {
  void *handles[KINDS];
  honker_error_t **err;
  /* A job that the outbox holds, and one that the worker has in hand. */
  int64_t delivery, in_hand, serial;
  /* What is wrong with this call; -1 and _GOOD for nothing. */
  int null_output, bad_text, bad_struct;
  text_variant_t text_variant;
  struct_variant_t struct_variant;
  /* What the call turned out to have. */
  int outputs, texts, structs;
  size_t output_sizes[OUTPUTS_MAX], output_heads[OUTPUTS_MAX];
  _Alignas(16) unsigned char output[OUTPUTS_MAX][OUTPUT_MAX];
  _Alignas(16) unsigned char input[OUTPUT_MAX];
} call_t;

typedef struct {
  const char *name;
  unsigned takes, is;
  honker_status_t (*call)(call_t *call);
} function_t;

extern const function_t functions[];
extern const size_t functions_len;

/* A database in which every call of the table succeeds, and handles of all kinds that belong to it.
 */
typedef struct {
  honker_db_t *db;
  honker_tx_t *tx;
  honker_rows_t *rows;
  honker_jobs_t *jobs;
  honker_events_t *events;
  honker_fires_t *fires;
  honker_text_t *text;
  honker_error_t *error;
  honker_waiter_t *waiter;
  honker_worker_t *worker;
  honker_listener_t *listener;
  honker_subscription_t *subscription;
  honker_leader_t *leader;
  honker_outbox_t *outbox;
  honker_result_wait_t *result_wait;
  honker_updates_t *updates;
  int64_t delivery, in_hand, serial;
} fixture_t;

fixture_t fixture_new(bool with_tx);
void fixture_free(fixture_t *fixture);
/* A fixture in which `function` can succeed: with a transaction if it needs one. */
fixture_t fixture_for(const function_t *function);
/* A call with everything right. */
call_t call_on(const fixture_t *fixture);
/* The call, checked: the status, the error, and the outputs of a call that fails or has nothing to
 * return. */
void run_call(const function_t *function, call_t *call, honker_status_t wanted);

#endif
