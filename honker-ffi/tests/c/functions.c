/* The table of all functions. */
#include "functions.h"

#include <stdlib.h>

enum { CANARY = 0xa5 };

/* --- What a call is made of. --- */

static void *output(call_t *call, int index, size_t size) {
  if (call->outputs <= index) call->outputs = index + 1;
  call->output_sizes[index] = size;
  call->output_heads[index] = 0;
  memset(call->output[index], CANARY, OUTPUT_MAX);
  return call->null_output == index ? NULL : call->output[index];
}

static size_t struct_size(const call_t *call, size_t size) {
  switch (call->struct_variant) {
    case STRUCT_EMPTY:
      return 0;
    case STRUCT_TOO_SHORT:
      return 4;
    case STRUCT_ODD:
      return size - 4;
    case STRUCT_TOO_LONG:
      return 8192;
    case STRUCT_OLDER:
      return 16;
    case STRUCT_NEWER:
    case STRUCT_NEWER_SET:
      return size + 24;
    default:
      return size;
  }
}

static void set_struct_size(void *at, size_t size) {
  uint32_t number = (uint32_t)size;
  memcpy(at, &number, sizeof number);
}

/* A view to be filled in. */
static void *view(call_t *call, int index, size_t size) {
  void *data = output(call, index, size);
  call->structs = 1;
  if (call->bad_struct == 0) size = struct_size(call, size);
  call->output_sizes[index] = size;
  call->output_heads[index] = 8;
  set_struct_size(call->output[index], size);
  return data;
}

/* A struct that is passed. */
static void *input(call_t *call, const void *init, size_t size) {
  call->structs = 1;
  memset(call->input, 0, sizeof call->input);
  memcpy(call->input, init, size);
  if (call->bad_struct == 0) {
    set_struct_size(call->input, struct_size(call, size));
    if (call->struct_variant == STRUCT_NEWER_SET) call->input[size + 23] = 1;
    if (call->struct_variant == STRUCT_RESERVED_SET) call->input[5] = 1;
    /* What an older caller does not have must not be looked at. */
    if (call->struct_variant == STRUCT_OLDER)
      memset(call->input + 16, CANARY, sizeof call->input - 16);
  }
  return call->input;
}

static text_variant_t variant_of(call_t *call, int index) {
  if (call->texts <= index) call->texts = index + 1;
  return call->bad_text == index ? call->text_variant : TEXT_GOOD;
}

static const uint8_t *text_data(call_t *call, int index, const char *good) {
  static const char *const bad[] = {
      [TEXT_NULL] = NULL, [TEXT_NOT_UTF8] = "a\xff", [TEXT_WITH_NUL] = "a\0b", [TEXT_HUGE] = "a"};
  text_variant_t variant = variant_of(call, index);
  return (const uint8_t *)(variant == TEXT_GOOD ? good : bad[variant]);
}

static size_t text_len(call_t *call, int index, const char *good) {
  static const size_t bad[] = {
      [TEXT_NULL] = 3, [TEXT_NOT_UTF8] = 2, [TEXT_WITH_NUL] = 3, [TEXT_HUGE] = SIZE_MAX};
  text_variant_t variant = variant_of(call, index);
  return variant == TEXT_GOOD ? strlen(good) : bad[variant];
}

#define TEXT_ARG(index, good) text_data(c, index, good), text_len(c, index, good)
#define OUTPUT(index, type) ((type *)output(c, index, sizeof(type)))
#define VIEW(index, type) ((type *)view(c, index, sizeof(type)))
#define INPUT(type, init) ((type *)input(c, &(type)init, sizeof(type)))

/* --- The functions, in the order of the header. --- */

#define FUNCTION(name) static honker_status_t call_##name(call_t *c)
#define DB_TX c->handles[DB], c->handles[TX]

FUNCTION(honker_status_name) {
  (void)c;
  return strcmp(honker_status_name(HONKER_OK), "HONKER_OK");
}
FUNCTION(honker_status_is_transient) {
  (void)c;
  return honker_status_is_transient(HONKER_OK);
}
FUNCTION(honker_abi_version) {
  (void)c;
  return honker_abi_version() != HONKER_ABI_VERSION;
}
FUNCTION(honker_version) {
  (void)c;
  return honker_version()[0] == '\0';
}
FUNCTION(honker_build_info) {
  (void)c;
  return honker_build_info()[0] != '{';
}
FUNCTION(honker_error_status) { return honker_error_status(c->handles[ERROR]) == HONKER_MISUSE; }
FUNCTION(honker_error_name) {
  return strcmp(honker_error_name(c->handles[ERROR]), "HONKER_MISUSE") == 0;
}
FUNCTION(honker_error_message) { return honker_error_message(c->handles[ERROR], NULL)[0] == '\0'; }
FUNCTION(honker_error_sqlite_code) { return honker_error_sqlite_code(c->handles[ERROR]) == 0; }
FUNCTION(honker_error_sqlite_extended_code) {
  return honker_error_sqlite_extended_code(c->handles[ERROR]) == 0;
}
FUNCTION(honker_error_free) {
  honker_error_free(c->handles[ERROR]);
  return HONKER_OK;
}
FUNCTION(honker_text_get) {
  return honker_text_get(c->handles[TEXT], OUTPUT(0, const uint8_t *), OUTPUT(1, size_t), c->err);
}
FUNCTION(honker_text_free) {
  honker_text_free(c->handles[TEXT]);
  return HONKER_OK;
}
FUNCTION(honker_open) {
  return honker_open(TEXT_ARG(0, path_of("opened.db")),
                     INPUT(honker_open_opts_t, HONKER_OPEN_OPTS_INIT), OUTPUT(0, honker_db_t *),
                     c->err);
}
FUNCTION(honker_close) { return honker_close(c->handles[DB], c->err); }
FUNCTION(honker_interrupt) { return honker_interrupt(c->handles[DB], c->err); }
FUNCTION(honker_status) {
  return honker_status(c->handles[DB], OUTPUT(0, honker_text_t *), c->err);
}
FUNCTION(honker_tx_begin) {
  return honker_tx_begin(c->handles[DB], OUTPUT(0, honker_tx_t *), c->err);
}
FUNCTION(honker_tx_commit) { return honker_tx_commit(c->handles[TX], c->err); }
FUNCTION(honker_tx_rollback) { return honker_tx_rollback(c->handles[TX], c->err); }
FUNCTION(honker_tx_free) {
  honker_tx_free(c->handles[TX]);
  return HONKER_OK;
}
FUNCTION(honker_tx_execute) {
  return honker_tx_execute(c->handles[TX], TEXT_ARG(0, "UPDATE numbers SET n = n + 1"), NULL, 0,
                           OUTPUT(0, int64_t), c->err);
}
FUNCTION(honker_tx_query) {
  return honker_tx_query(c->handles[TX], TEXT_ARG(0, "SELECT n FROM numbers"), NULL, 0,
                         OUTPUT(0, honker_rows_t *), c->err);
}
FUNCTION(honker_query) {
  return honker_query(c->handles[DB], TEXT_ARG(0, "SELECT n FROM numbers"), NULL, 0,
                      OUTPUT(0, honker_rows_t *), c->err);
}
FUNCTION(honker_rows_size) {
  return honker_rows_size(c->handles[ROWS], OUTPUT(0, size_t), OUTPUT(1, size_t), c->err);
}
FUNCTION(honker_rows_column) {
  return honker_rows_column(c->handles[ROWS], 0, OUTPUT(0, const uint8_t *), OUTPUT(1, size_t),
                            c->err);
}
FUNCTION(honker_rows_get) {
  return honker_rows_get(c->handles[ROWS], 0, 0, OUTPUT(0, honker_value_t), c->err);
}
FUNCTION(honker_rows_free) {
  honker_rows_free(c->handles[ROWS]);
  return HONKER_OK;
}
FUNCTION(honker_enqueue) {
  return honker_enqueue(DB_TX, TEXT_ARG(0, "q"), TEXT_ARG(1, "{}"),
                        INPUT(honker_enqueue_opts_t, HONKER_ENQUEUE_OPTS_INIT), OUTPUT(0, int64_t),
                        c->err);
}
FUNCTION(honker_enqueue_many) {
  honker_job_spec_t specs[] = {HONKER_JOB_SPEC_INIT, HONKER_JOB_SPEC_INIT};
  specs[0].queue = (honker_bytes_t){T("other")};
  specs[1].queue = (honker_bytes_t){TEXT_ARG(0, "q")};
  specs[1].payload = (honker_bytes_t){TEXT_ARG(1, "2")};
  specs[1].opts = INPUT(honker_enqueue_opts_t, HONKER_ENQUEUE_OPTS_INIT);
  size_t size = sizeof(honker_enqueue_result_t);
  return honker_enqueue_many(DB_TX, specs, 2, (honker_enqueue_result_t *)output(c, 0, 2 * size),
                             c->err);
}
FUNCTION(honker_ack) { return honker_ack(DB_TX, 1, TEXT_ARG(0, "w"), c->err); }
FUNCTION(honker_ack_batch) {
  static const int64_t ids[] = {1, 2};
  return honker_ack_batch(DB_TX, ids, 2, TEXT_ARG(0, "w"), OUTPUT(0, int64_t), c->err);
}
FUNCTION(honker_retry) {
  return honker_retry(DB_TX, 1, TEXT_ARG(0, "w"), 1, TEXT_ARG(1, "again"), c->err);
}
FUNCTION(honker_release) { return honker_release(DB_TX, 1, TEXT_ARG(0, "w"), 0, c->err); }
FUNCTION(honker_fail) {
  return honker_fail(DB_TX, 1, TEXT_ARG(0, "w"), TEXT_ARG(1, "never"), c->err);
}
FUNCTION(honker_heartbeat) { return honker_heartbeat(DB_TX, 1, TEXT_ARG(0, "w"), 60, c->err); }
FUNCTION(honker_cancel) { return honker_cancel(DB_TX, 1, c->err); }
FUNCTION(honker_sweep_expired) {
  return honker_sweep_expired(DB_TX, TEXT_ARG(0, "q"), OUTPUT(0, int64_t), c->err);
}
FUNCTION(honker_queue_next_claim_at) {
  return honker_queue_next_claim_at(DB_TX, TEXT_ARG(0, "q"), OUTPUT(0, int64_t), c->err);
}
FUNCTION(honker_get_job) { return honker_get_job(DB_TX, 1, OUTPUT(0, honker_text_t *), c->err); }
FUNCTION(honker_metrics) { return honker_metrics(DB_TX, OUTPUT(0, honker_text_t *), c->err); }
FUNCTION(honker_queue_stats) {
  return honker_queue_stats(DB_TX, TEXT_ARG(0, "q"), OUTPUT(0, honker_text_t *), c->err);
}
FUNCTION(honker_queue_configure) {
  return honker_queue_configure(DB_TX, TEXT_ARG(0, "set"), TEXT_ARG(1, "{\"concurrency\":9}"),
                                c->err);
}
FUNCTION(honker_queue_settings) {
  return honker_queue_settings(DB_TX, TEXT_ARG(0, "set"), OUTPUT(0, honker_text_t *), c->err);
}
FUNCTION(honker_queues) { return honker_queues(DB_TX, OUTPUT(0, honker_text_t *), c->err); }
FUNCTION(honker_claim) {
  return honker_claim(DB_TX, TEXT_ARG(0, "pending"), TEXT_ARG(1, "w"), 1, 60,
                      OUTPUT(0, honker_jobs_t *), c->err);
}
FUNCTION(honker_jobs_len) { return honker_jobs_len(c->handles[JOBS], OUTPUT(0, size_t), c->err); }
FUNCTION(honker_jobs_get) {
  return honker_jobs_get(c->handles[JOBS], 0, VIEW(0, honker_job_view_t), c->err);
}
FUNCTION(honker_jobs_views) {
  return honker_jobs_views(c->handles[JOBS], 0, VIEW(0, honker_job_view_t), 1, OUTPUT(1, size_t),
                           c->err);
}
FUNCTION(honker_jobs_lost) {
  return honker_jobs_lost(c->handles[JOBS], 0, VIEW(0, honker_lost_job_view_t), 1,
                          OUTPUT(1, size_t), c->err);
}
FUNCTION(honker_jobs_free) {
  honker_jobs_free(c->handles[JOBS]);
  return HONKER_OK;
}
FUNCTION(honker_dead_list) {
  return honker_dead_list(DB_TX, TEXT_ARG(0, "dead"), -1, OUTPUT(0, honker_text_t *), c->err);
}
FUNCTION(honker_dead_requeue) { return honker_dead_requeue(DB_TX, 3, c->err); }
FUNCTION(honker_dead_purge) {
  return honker_dead_purge(DB_TX, TEXT_ARG(0, "dead"), 0, OUTPUT(0, int64_t), c->err);
}
FUNCTION(honker_dead_groups) {
  return honker_dead_groups(DB_TX, TEXT_ARG(0, "dead"), OUTPUT(0, honker_text_t *), c->err);
}
FUNCTION(honker_job_list) {
  return honker_job_list(DB_TX, TEXT_ARG(0, "{}"), OUTPUT(0, honker_text_t *), c->err);
}
FUNCTION(honker_job_apply) {
  return honker_job_apply(DB_TX, TEXT_ARG(0, "{\"queue\":\"dead\"}"),
                          TEXT_ARG(1, "{\"move\":\"grave\"}"), OUTPUT(0, honker_text_t *), c->err);
}
FUNCTION(honker_batch_create) {
  return honker_batch_create(DB_TX, TEXT_ARG(0, "{}"), OUTPUT(0, int64_t), c->err);
}
FUNCTION(honker_batch_seal) { return honker_batch_seal(DB_TX, 1, c->err); }
FUNCTION(honker_batch_get) {
  return honker_batch_get(DB_TX, 1, OUTPUT(0, honker_text_t *), c->err);
}
FUNCTION(honker_step_get) {
  return honker_step_get(DB_TX, 1, TEXT_ARG(0, "step"), OUTPUT(0, honker_text_t *), c->err);
}
FUNCTION(honker_step_save) {
  return honker_step_save(DB_TX, 1, TEXT_ARG(0, "w"), TEXT_ARG(1, "step"), TEXT_ARG(2, "{}"),
                          OUTPUT(0, honker_text_t *), c->err);
}
FUNCTION(honker_notify) {
  return honker_notify(DB_TX, TEXT_ARG(0, "channel"), TEXT_ARG(1, "{}"), OUTPUT(0, int64_t),
                       c->err);
}
FUNCTION(honker_notifications_prune) {
  return honker_notifications_prune(DB_TX, HONKER_NO_TIME, 0, OUTPUT(0, int64_t), c->err);
}
FUNCTION(honker_notifications_configure) {
  return honker_notifications_configure(DB_TX, TEXT_ARG(0, "{\"keep_s\":9}"), c->err);
}
FUNCTION(honker_stream_publish) {
  return honker_stream_publish(DB_TX, TEXT_ARG(0, "t"), TEXT_ARG(1, "key"), TEXT_ARG(2, "{}"),
                               OUTPUT(0, int64_t), c->err);
}
FUNCTION(honker_stream_read_since) {
  return honker_stream_read_since(DB_TX, TEXT_ARG(0, "t"), 0, 10, OUTPUT(0, honker_events_t *),
                                  c->err);
}
FUNCTION(honker_stream_configure) {
  return honker_stream_configure(DB_TX, TEXT_ARG(0, "t"), TEXT_ARG(1, "{\"keep_n\":9}"), c->err);
}
FUNCTION(honker_stream_trim) {
  return honker_stream_trim(DB_TX, TEXT_ARG(0, "t"), TEXT_ARG(1, "{\"keep_s\":9}"),
                            OUTPUT(0, int64_t), c->err);
}
FUNCTION(honker_stream_save_offset) {
  return honker_stream_save_offset(DB_TX, TEXT_ARG(0, "consumer"), TEXT_ARG(1, "t"), 1, c->err);
}
FUNCTION(honker_stream_get_offset) {
  return honker_stream_get_offset(DB_TX, TEXT_ARG(0, "consumer"), TEXT_ARG(1, "t"),
                                  OUTPUT(0, int64_t), c->err);
}
FUNCTION(honker_events_len) {
  return honker_events_len(c->handles[EVENTS], OUTPUT(0, size_t), c->err);
}
FUNCTION(honker_events_get) {
  return honker_events_get(c->handles[EVENTS], 0, VIEW(0, honker_event_view_t), c->err);
}
FUNCTION(honker_events_free) {
  honker_events_free(c->handles[EVENTS]);
  return HONKER_OK;
}
FUNCTION(honker_result_save) { return honker_result_save(DB_TX, 1, TEXT_ARG(0, "{}"), 60, c->err); }
FUNCTION(honker_result_get) {
  return honker_result_get(DB_TX, 1, OUTPUT(0, honker_text_t *), c->err);
}
FUNCTION(honker_result_sweep) { return honker_result_sweep(DB_TX, OUTPUT(0, int64_t), c->err); }
FUNCTION(honker_lock_acquire) {
  return honker_lock_acquire(DB_TX, TEXT_ARG(0, "free"), TEXT_ARG(1, "owner"), 60, c->err);
}
FUNCTION(honker_lock_renew) {
  return honker_lock_renew(DB_TX, TEXT_ARG(0, "held"), TEXT_ARG(1, "owner"), 60, c->err);
}
FUNCTION(honker_lock_release) {
  return honker_lock_release(DB_TX, TEXT_ARG(0, "held"), TEXT_ARG(1, "owner"), c->err);
}
FUNCTION(honker_rate_limit_try) {
  return honker_rate_limit_try(DB_TX, TEXT_ARG(0, "limit"), 1000, 3600, c->err);
}
FUNCTION(honker_rate_limit_sweep) {
  return honker_rate_limit_sweep(DB_TX, 3600, OUTPUT(0, int64_t), c->err);
}
FUNCTION(honker_scheduler_register) {
  return honker_scheduler_register(
      DB_TX, TEXT_ARG(0, "new"), TEXT_ARG(1, "q"), TEXT_ARG(2, "@daily"), TEXT_ARG(3, "{}"),
      INPUT(honker_schedule_opts_t, HONKER_SCHEDULE_OPTS_INIT), c->err);
}
FUNCTION(honker_scheduler_unregister) {
  return honker_scheduler_unregister(DB_TX, TEXT_ARG(0, "every-second"), c->err);
}
FUNCTION(honker_scheduler_update) {
  honker_schedule_update_t changes = HONKER_SCHEDULE_UPDATE_INIT;
  changes.fields = HONKER_UPDATE_EXPRESSION | HONKER_UPDATE_PAYLOAD;
  changes.expression = (honker_bytes_t){TEXT_ARG(1, "@hourly")};
  changes.payload = (honker_bytes_t){TEXT_ARG(2, "{}")};
  /* An older caller has `fields` and nothing behind it: the texts are then empty, which is no
   * expression. */
  if (c->struct_variant == STRUCT_OLDER) changes.fields = HONKER_UPDATE_PAYLOAD;
  return honker_scheduler_update(DB_TX, TEXT_ARG(0, "every-second"),
                                 (honker_schedule_update_t *)input(c, &changes, sizeof changes),
                                 c->err);
}
FUNCTION(honker_scheduler_pause) {
  return honker_scheduler_pause(DB_TX, TEXT_ARG(0, "every-second"), c->err);
}
FUNCTION(honker_scheduler_resume) {
  return honker_scheduler_resume(DB_TX, TEXT_ARG(0, "paused"), c->err);
}
FUNCTION(honker_scheduler_tick) {
  return honker_scheduler_tick(DB_TX, 4102444800, OUTPUT(0, honker_fires_t *), c->err);
}
FUNCTION(honker_scheduler_soonest) {
  return honker_scheduler_soonest(DB_TX, OUTPUT(0, int64_t), c->err);
}
FUNCTION(honker_scheduler_list) {
  return honker_scheduler_list(DB_TX, OUTPUT(0, honker_text_t *), c->err);
}
FUNCTION(honker_cron_next_after) {
  return honker_cron_next_after(TEXT_ARG(0, "@daily"), 0, OUTPUT(0, int64_t), c->err);
}
FUNCTION(honker_fires_len) {
  return honker_fires_len(c->handles[FIRES], OUTPUT(0, size_t), c->err);
}
FUNCTION(honker_fires_get) {
  return honker_fires_get(c->handles[FIRES], 0, VIEW(0, honker_fire_view_t), c->err);
}
FUNCTION(honker_fires_free) {
  honker_fires_free(c->handles[FIRES]);
  return HONKER_OK;
}

FUNCTION(honker_waiter_new) {
  return honker_waiter_new(c->handles[DB], OUTPUT(0, honker_waiter_t *), c->err);
}
FUNCTION(honker_wait) { return honker_wait(c->handles[WAITER], 5000, c->err); }
FUNCTION(honker_waiter_wake) { return honker_waiter_wake(c->handles[WAITER], c->err); }
FUNCTION(honker_waiter_ready) {
  return honker_waiter_ready(c->handles[WAITER], (uint64_t *)output(c, 0, 3 * sizeof(uint64_t)), 3,
                             OUTPUT(1, size_t), c->err);
}
FUNCTION(honker_waiter_fd) {
  return honker_waiter_fd(c->handles[WAITER], OUTPUT(0, int64_t), c->err);
}
FUNCTION(honker_waiter_free) {
  honker_waiter_free(c->handles[WAITER]);
  return HONKER_OK;
}
FUNCTION(honker_worker_new) {
  honker_worker_queue_t queues[] = {HONKER_WORKER_QUEUE_INIT, HONKER_WORKER_QUEUE_INIT};
  queues[0].name = (honker_bytes_t){T("pending")};
  queues[1].name = (honker_bytes_t){TEXT_ARG(0, "q")};
  return honker_worker_new(c->handles[DB], c->handles[WAITER], 7, queues, 2, TEXT_ARG(1, "w"),
                           INPUT(honker_worker_opts_t, HONKER_WORKER_OPTS_INIT),
                           OUTPUT(0, honker_worker_t *), c->err);
}
FUNCTION(honker_worker_next) {
  return honker_worker_next(c->handles[WORKER], 1, 0, OUTPUT(0, honker_jobs_t *), c->err);
}
FUNCTION(honker_worker_settle_next) {
  honker_settlement_t settlements[] = {{HONKER_SETTLE_ACK, 0, 1, 1, 0, {NULL, 0}},
                                       {HONKER_SETTLE_FAIL, 0, 2, 1, 0, {TEXT_ARG(0, "never")}}};
  return honker_worker_settle_next(c->handles[WORKER], settlements, 2, 1, 0,
                                   OUTPUT(0, honker_jobs_t *), c->err);
}
FUNCTION(honker_worker_settled) {
  return honker_worker_settled(c->handles[WORKER], c->in_hand, c->serial, c->err);
}
FUNCTION(honker_worker_free) {
  honker_worker_free(c->handles[WORKER]);
  return HONKER_OK;
}
FUNCTION(honker_listener_new) {
  return honker_listener_new(c->handles[DB], c->handles[WAITER], 7, TEXT_ARG(0, "channel"), 15000,
                             OUTPUT(0, honker_listener_t *), c->err);
}
FUNCTION(honker_listener_next) {
  return honker_listener_next(
      c->handles[LISTENER], 0,
      (honker_notification_view_t *)view(c, 0, sizeof(honker_notification_view_t)), c->err);
}
FUNCTION(honker_listener_free) {
  honker_listener_free(c->handles[LISTENER]);
  return HONKER_OK;
}
FUNCTION(honker_subscription_new) {
  return honker_subscription_new(c->handles[DB], c->handles[WAITER], 7, TEXT_ARG(0, "t"),
                                 INPUT(honker_subscription_opts_t, HONKER_SUBSCRIPTION_OPTS_INIT),
                                 OUTPUT(0, honker_subscription_t *), c->err);
}
FUNCTION(honker_subscription_next) {
  return honker_subscription_next(c->handles[SUBSCRIPTION], 0,
                                  (honker_event_view_t *)view(c, 0, sizeof(honker_event_view_t)),
                                  c->err);
}
FUNCTION(honker_subscription_ack) {
  return honker_subscription_ack(c->handles[SUBSCRIPTION], c->err);
}
FUNCTION(honker_subscription_save) {
  return honker_subscription_save(c->handles[SUBSCRIPTION], c->err);
}
FUNCTION(honker_subscription_offset) {
  return honker_subscription_offset(c->handles[SUBSCRIPTION], OUTPUT(0, int64_t), c->err);
}
FUNCTION(honker_subscription_free) {
  honker_subscription_free(c->handles[SUBSCRIPTION]);
  return HONKER_OK;
}
FUNCTION(honker_result_wait_new) {
  return honker_result_wait_new(c->handles[DB], c->handles[WAITER], 7, 1,
                                OUTPUT(0, honker_result_wait_t *), c->err);
}
FUNCTION(honker_result_wait_next) {
  return honker_result_wait_next(c->handles[RESULT_WAIT], 0, OUTPUT(0, honker_text_t *), c->err);
}
FUNCTION(honker_result_wait_free) {
  honker_result_wait_free(c->handles[RESULT_WAIT]);
  return HONKER_OK;
}
FUNCTION(honker_updates_new) {
  return honker_updates_new(c->handles[DB], c->handles[WAITER], 7, OUTPUT(0, honker_updates_t *),
                            c->err);
}
FUNCTION(honker_updates_next) { return honker_updates_next(c->handles[UPDATES], 5000, c->err); }
FUNCTION(honker_updates_free) {
  honker_updates_free(c->handles[UPDATES]);
  return HONKER_OK;
}
FUNCTION(honker_leader_new) {
  return honker_leader_new(c->handles[DB], c->handles[WAITER], 7, TEXT_ARG(0, "me"),
                           OUTPUT(0, honker_leader_t *), c->err);
}
FUNCTION(honker_leader_next) {
  return honker_leader_next(c->handles[LEADER], 0, OUTPUT(0, honker_fires_t *), c->err);
}
FUNCTION(honker_leader_leads) {
  return honker_leader_leads(c->handles[LEADER], OUTPUT(0, int64_t), c->err);
}
FUNCTION(honker_leader_resign) { return honker_leader_resign(c->handles[LEADER], c->err); }
FUNCTION(honker_leader_free) {
  honker_leader_free(c->handles[LEADER]);
  return HONKER_OK;
}
FUNCTION(honker_outbox_new) {
  return honker_outbox_new(c->handles[DB], c->handles[WAITER], 7, TEXT_ARG(0, "o"),
                           TEXT_ARG(1, "w"), INPUT(honker_outbox_opts_t, HONKER_OUTBOX_OPTS_INIT),
                           OUTPUT(0, honker_outbox_t *), c->err);
}
FUNCTION(honker_outbox_next) {
  return honker_outbox_next(c->handles[OUTBOX], 0, OUTPUT(0, honker_jobs_t *), c->err);
}
FUNCTION(honker_outbox_delivered) {
  return honker_outbox_delivered(c->handles[OUTBOX], c->delivery, c->err);
}
FUNCTION(honker_outbox_failed) {
  return honker_outbox_failed(c->handles[OUTBOX], c->delivery, 1, TEXT_ARG(0, "not now"), c->err);
}
FUNCTION(honker_outbox_free) {
  honker_outbox_free(c->handles[OUTBOX]);
  return HONKER_OK;
}

#define OPERATION (TAKES(DB) | MAY_TX)
#define CONSUMER (TAKES(DB) | TAKES(WAITER))
#define ROW(name, takes, is) \
  { #name, takes, is, call_##name }

const function_t functions[] = {
    ROW(honker_status_name, 0, TELLS),
    ROW(honker_status_is_transient, 0, TELLS),
    ROW(honker_abi_version, 0, TELLS),
    ROW(honker_version, 0, TELLS),
    ROW(honker_build_info, 0, TELLS),
    ROW(honker_error_status, TAKES(ERROR), TELLS),
    ROW(honker_error_name, TAKES(ERROR), TELLS),
    ROW(honker_error_message, TAKES(ERROR), TELLS),
    ROW(honker_error_sqlite_code, TAKES(ERROR), TELLS),
    ROW(honker_error_sqlite_extended_code, TAKES(ERROR), TELLS),
    ROW(honker_error_free, TAKES(ERROR), FREES | ENDS),
    ROW(honker_text_get, TAKES(TEXT), FALLIBLE),
    ROW(honker_text_free, TAKES(TEXT), FREES | ENDS),
    ROW(honker_open, 0, FALLIBLE),
    ROW(honker_close, TAKES(DB), FALLIBLE | ENDS),
    ROW(honker_interrupt, TAKES(DB), FALLIBLE),
    ROW(honker_status, TAKES(DB), FALLIBLE),
    ROW(honker_tx_begin, TAKES(DB), FALLIBLE),
    ROW(honker_tx_commit, TAKES(TX), FALLIBLE | ENDS),
    ROW(honker_tx_rollback, TAKES(TX), FALLIBLE | ENDS),
    ROW(honker_tx_free, TAKES(TX), FREES | ENDS),
    ROW(honker_tx_execute, TAKES(TX), FALLIBLE),
    ROW(honker_tx_query, TAKES(TX), FALLIBLE),
    ROW(honker_query, TAKES(DB), FALLIBLE),
    ROW(honker_rows_size, TAKES(ROWS), FALLIBLE),
    ROW(honker_rows_column, TAKES(ROWS), FALLIBLE),
    ROW(honker_rows_get, TAKES(ROWS), FALLIBLE),
    ROW(honker_rows_free, TAKES(ROWS), FREES | ENDS),
    ROW(honker_enqueue, OPERATION, FALLIBLE),
    ROW(honker_enqueue_many, OPERATION, FALLIBLE),
    ROW(honker_ack, OPERATION, FALLIBLE),
    ROW(honker_ack_batch, OPERATION, FALLIBLE),
    ROW(honker_retry, OPERATION, FALLIBLE),
    ROW(honker_release, OPERATION, FALLIBLE),
    ROW(honker_fail, OPERATION, FALLIBLE),
    ROW(honker_heartbeat, OPERATION, FALLIBLE),
    ROW(honker_cancel, OPERATION, FALLIBLE),
    ROW(honker_sweep_expired, OPERATION, FALLIBLE),
    ROW(honker_queue_next_claim_at, OPERATION, FALLIBLE),
    ROW(honker_get_job, OPERATION, FALLIBLE),
    ROW(honker_metrics, OPERATION, FALLIBLE),
    ROW(honker_queue_stats, OPERATION, FALLIBLE),
    ROW(honker_queue_configure, OPERATION, FALLIBLE),
    ROW(honker_queue_settings, OPERATION, FALLIBLE),
    ROW(honker_queues, OPERATION, FALLIBLE),
    ROW(honker_claim, OPERATION, FALLIBLE),
    ROW(honker_jobs_len, TAKES(JOBS), FALLIBLE),
    ROW(honker_jobs_get, TAKES(JOBS), FALLIBLE),
    ROW(honker_jobs_views, TAKES(JOBS), FALLIBLE),
    ROW(honker_jobs_lost, TAKES(JOBS), FALLIBLE),
    ROW(honker_jobs_free, TAKES(JOBS), FREES | ENDS),
    ROW(honker_dead_list, OPERATION, FALLIBLE),
    ROW(honker_dead_requeue, OPERATION, FALLIBLE),
    ROW(honker_dead_purge, OPERATION, FALLIBLE),
    ROW(honker_dead_groups, OPERATION, FALLIBLE),
    ROW(honker_job_list, OPERATION, FALLIBLE),
    ROW(honker_job_apply, OPERATION, FALLIBLE),
    ROW(honker_batch_create, OPERATION, FALLIBLE),
    ROW(honker_batch_seal, OPERATION, FALLIBLE),
    ROW(honker_batch_get, OPERATION, FALLIBLE),
    ROW(honker_step_get, OPERATION, FALLIBLE),
    ROW(honker_step_save, OPERATION, FALLIBLE),
    ROW(honker_notify, OPERATION, FALLIBLE),
    ROW(honker_notifications_prune, OPERATION, FALLIBLE),
    ROW(honker_notifications_configure, OPERATION, FALLIBLE),
    ROW(honker_stream_publish, OPERATION, FALLIBLE),
    ROW(honker_stream_read_since, OPERATION, FALLIBLE),
    ROW(honker_stream_configure, OPERATION, FALLIBLE),
    ROW(honker_stream_trim, OPERATION, FALLIBLE),
    ROW(honker_stream_save_offset, OPERATION, FALLIBLE),
    ROW(honker_stream_get_offset, OPERATION, FALLIBLE),
    ROW(honker_events_len, TAKES(EVENTS), FALLIBLE),
    ROW(honker_events_get, TAKES(EVENTS), FALLIBLE),
    ROW(honker_events_free, TAKES(EVENTS), FREES | ENDS),
    ROW(honker_result_save, OPERATION, FALLIBLE),
    ROW(honker_result_get, OPERATION, FALLIBLE),
    ROW(honker_result_sweep, OPERATION, FALLIBLE),
    ROW(honker_lock_acquire, OPERATION, FALLIBLE),
    ROW(honker_lock_renew, OPERATION, FALLIBLE),
    ROW(honker_lock_release, OPERATION, FALLIBLE),
    ROW(honker_rate_limit_try, OPERATION, FALLIBLE),
    ROW(honker_rate_limit_sweep, OPERATION, FALLIBLE),
    ROW(honker_scheduler_register, OPERATION, FALLIBLE),
    ROW(honker_scheduler_unregister, OPERATION, FALLIBLE),
    ROW(honker_scheduler_update, OPERATION, FALLIBLE),
    ROW(honker_scheduler_pause, OPERATION, FALLIBLE),
    ROW(honker_scheduler_resume, OPERATION, FALLIBLE),
    ROW(honker_scheduler_tick, OPERATION, FALLIBLE),
    ROW(honker_scheduler_soonest, OPERATION, FALLIBLE),
    ROW(honker_scheduler_list, OPERATION, FALLIBLE),
    ROW(honker_cron_next_after, 0, FALLIBLE),
    ROW(honker_fires_len, TAKES(FIRES), FALLIBLE),
    ROW(honker_fires_get, TAKES(FIRES), FALLIBLE),
    ROW(honker_fires_free, TAKES(FIRES), FREES | ENDS),
    ROW(honker_waiter_new, TAKES(DB), FALLIBLE),
    ROW(honker_wait, TAKES(WAITER), FALLIBLE),
    ROW(honker_waiter_ready, TAKES(WAITER), FALLIBLE),
    ROW(honker_waiter_wake, TAKES(WAITER), FALLIBLE),
    ROW(honker_waiter_fd, TAKES(WAITER), FALLIBLE),
    ROW(honker_waiter_free, TAKES(WAITER), FREES | ENDS),
    ROW(honker_worker_new, CONSUMER, FALLIBLE),
    ROW(honker_worker_next, TAKES(WORKER), FALLIBLE),
    ROW(honker_worker_settle_next, TAKES(WORKER), FALLIBLE),
    ROW(honker_worker_settled, TAKES(WORKER), FALLIBLE),
    ROW(honker_worker_free, TAKES(WORKER), FREES | ENDS),
    ROW(honker_listener_new, CONSUMER, FALLIBLE),
    ROW(honker_listener_next, TAKES(LISTENER), FALLIBLE),
    ROW(honker_listener_free, TAKES(LISTENER), FREES | ENDS),
    ROW(honker_subscription_new, CONSUMER, FALLIBLE),
    ROW(honker_subscription_next, TAKES(SUBSCRIPTION), FALLIBLE),
    ROW(honker_subscription_ack, TAKES(SUBSCRIPTION), FALLIBLE),
    ROW(honker_subscription_save, TAKES(SUBSCRIPTION), FALLIBLE),
    ROW(honker_subscription_offset, TAKES(SUBSCRIPTION), FALLIBLE),
    ROW(honker_subscription_free, TAKES(SUBSCRIPTION), FREES | ENDS),
    ROW(honker_result_wait_new, CONSUMER, FALLIBLE),
    ROW(honker_result_wait_next, TAKES(RESULT_WAIT), FALLIBLE),
    ROW(honker_result_wait_free, TAKES(RESULT_WAIT), FREES | ENDS),
    ROW(honker_updates_new, CONSUMER, FALLIBLE),
    ROW(honker_updates_next, TAKES(UPDATES), FALLIBLE),
    ROW(honker_updates_free, TAKES(UPDATES), FREES | ENDS),
    ROW(honker_leader_new, CONSUMER, FALLIBLE),
    ROW(honker_leader_next, TAKES(LEADER), FALLIBLE),
    ROW(honker_leader_leads, TAKES(LEADER), FALLIBLE),
    ROW(honker_leader_resign, TAKES(LEADER), FALLIBLE),
    ROW(honker_leader_free, TAKES(LEADER), FREES | ENDS),
    ROW(honker_outbox_new, CONSUMER, FALLIBLE),
    ROW(honker_outbox_next, TAKES(OUTBOX), FALLIBLE),
    ROW(honker_outbox_delivered, TAKES(OUTBOX), FALLIBLE),
    ROW(honker_outbox_failed, TAKES(OUTBOX), FALLIBLE),
    ROW(honker_outbox_free, TAKES(OUTBOX), FREES | ENDS),
};
const size_t functions_len = sizeof functions / sizeof functions[0];

/* --- The prepared database. --- */

static void execute(honker_tx_t *tx, const char *sql) {
  int64_t changes = 0;
  OK(honker_tx_execute(tx, S(sql), NULL, 0, &changes, ERR));
}

/* Each with something to deliver. */
static void consumers_new(fixture_t *f) {
  int64_t id = 0;
  honker_jobs_t *jobs = NULL;
  honker_job_view_t job = HONKER_JOB_VIEW_INIT;
  OK(honker_waiter_new(f->db, &f->waiter, ERR));
  honker_worker_queue_t pending = HONKER_WORKER_QUEUE_INIT;
  pending.name = (honker_bytes_t){T("pending")};
  OK(honker_worker_new(f->db, f->waiter, 1, &pending, 1, T("w"), NULL, &f->worker, ERR));
  OK(honker_listener_new(f->db, f->waiter, 2, T("channel"), 15000, &f->listener, ERR));
  OK(honker_subscription_new(f->db, f->waiter, 3, T("t"), NULL, &f->subscription, ERR));
  OK(honker_leader_new(f->db, f->waiter, 4, T("me"), &f->leader, ERR));
  OK(honker_outbox_new(f->db, f->waiter, 5, T("o"), T("w"), NULL, &f->outbox, ERR));
  OK(honker_result_wait_new(f->db, f->waiter, 6, 1, &f->result_wait, ERR));
  OK(honker_updates_new(f->db, f->waiter, 8, &f->updates, ERR));

  /* The worker loses a job, and is given another in the same turn. */
  OK(honker_worker_next(f->worker, 1, 0, &jobs, ERR));
  OK(honker_jobs_get(jobs, 0, &job, ERR));
  OK(honker_cancel(f->db, NULL, job.id, ERR));
  honker_jobs_free(jobs);
  OK(honker_enqueue(f->db, NULL, T("pending"), T("in hand"), NULL, &id, ERR));
  OK(honker_worker_next(f->worker, 1, 0, &f->jobs, ERR));
  OK(honker_jobs_get(f->jobs, 0, &job, ERR));
  f->in_hand = job.id;
  f->serial = job.serial;
  OK(honker_enqueue(f->db, NULL, T("pending"), T("seven"), NULL, &id, ERR));

  OK(honker_notify(f->db, NULL, T("channel"), T("hello"), &id, ERR));
  OK(honker_enqueue(f->db, NULL, T("_outbox:o"), T("five"), NULL, &f->delivery, ERR));
  OK(honker_outbox_next(f->outbox, 0, &jobs, ERR));
  honker_jobs_free(jobs);
  OK(honker_enqueue(f->db, NULL, T("_outbox:o"), T("six"), NULL, &id, ERR));
}

fixture_t fixture_new(bool with_tx) {
  static int number;
  char file[64];
  snprintf(file, sizeof file, "fixture-%d.db", number++);
  fixture_t f;
  memset(&f, 0, sizeof f);
  honker_open_opts_t opts = HONKER_OPEN_OPTS_INIT;
  opts.busy_timeout_ms = 2000;
  f.db = open_with(file, &opts);
  OK(honker_tx_begin(f.db, &f.tx, ERR));
  execute(f.tx, "CREATE TABLE numbers (n INTEGER)");
  execute(f.tx, "INSERT INTO numbers VALUES (41)");
  int64_t id = 0;
  honker_enqueue_result_t results[2];
  honker_job_spec_t specs[] = {HONKER_JOB_SPEC_INIT, HONKER_JOB_SPEC_INIT};
  specs[0].queue = specs[1].queue = (honker_bytes_t){T("q")};
  OK(honker_enqueue_many(f.db, f.tx, specs, 2, results, ERR));
  CHECK(results[0].id == 1 && results[1].id == 2);
  honker_jobs_t *jobs = NULL;
  OK(honker_claim(f.db, f.tx, T("q"), T("w"), 2, 60, &jobs, ERR));
  honker_jobs_free(jobs);
  OK(honker_enqueue(f.db, f.tx, T("dead"), T("three"), NULL, &id, ERR));
  OK(honker_claim(f.db, f.tx, T("dead"), T("w"), 1, 60, &jobs, ERR));
  honker_jobs_free(jobs);
  OK(honker_fail(f.db, f.tx, id, T("w"), T("never"), ERR));
  OK(honker_enqueue(f.db, f.tx, T("pending"), T("four"), NULL, &id, ERR));
  OK(honker_stream_publish(f.db, f.tx, T("t"), T("key"), T("event"), &id, ERR));
  OK(honker_stream_read_since(f.db, f.tx, T("t"), 0, -1, &f.events, ERR));
  OK(honker_notify(f.db, f.tx, T("channel"), T("hello"), &id, ERR));
  OK(honker_result_save(f.db, f.tx, 1, T("result"), 0, ERR));
  OK(honker_lock_acquire(f.db, f.tx, T("held"), T("owner"), 60, ERR));
  OK(honker_batch_create(f.db, f.tx, T("{}"), &id, ERR));
  OK(honker_step_save(f.db, f.tx, 1, T("w"), T("step"), T("saved"), &f.text, ERR));
  honker_text_free(f.text);
  OK(honker_scheduler_register(f.db, f.tx, T("every-second"), T("q"), T("@every 1s"), T("tick"),
                               NULL, ERR));
  OK(honker_scheduler_tick(f.db, f.tx, 4102444800, &f.fires, ERR));
  execute(f.tx, "UPDATE _honker_scheduler_tasks SET next_fire_at = 1");
  OK(honker_scheduler_register(f.db, f.tx, T("paused"), T("q"), T("@daily"), T("tick"), NULL, ERR));
  OK(honker_scheduler_pause(f.db, f.tx, T("paused"), ERR));
  OK(honker_get_job(f.db, f.tx, 1, &f.text, ERR));
  OK(honker_tx_query(f.tx, T("SELECT n, 'text' AS t, NULL FROM numbers"), NULL, 0, &f.rows, ERR));
  CHECK(honker_tx_query(f.tx, T("SELECT wrong"), NULL, 0, &(honker_rows_t *){NULL}, &f.error) ==
        HONKER_SQL);
  OK(honker_tx_commit(f.tx, ERR));
  honker_tx_free(f.tx);
  f.tx = NULL;
  consumers_new(&f);
  if (with_tx) OK(honker_tx_begin(f.db, &f.tx, ERR));
  return f;
}

/* In an order that is as wrong as it can be: what owns comes first. */
void fixture_free(fixture_t *f) {
  honker_close(f->db, NULL);
  honker_rows_free(f->rows);
  honker_jobs_free(f->jobs);
  honker_events_free(f->events);
  honker_fires_free(f->fires);
  honker_text_free(f->text);
  honker_error_free(f->error);
  honker_tx_free(f->tx);
  honker_waiter_free(f->waiter);
  honker_worker_free(f->worker);
  honker_listener_free(f->listener);
  honker_subscription_free(f->subscription);
  honker_leader_free(f->leader);
  honker_outbox_free(f->outbox);
  honker_result_wait_free(f->result_wait);
  honker_updates_free(f->updates);
}

fixture_t fixture_for(const function_t *function) {
  return fixture_new(function->takes & TAKES(TX));
}

call_t call_on(const fixture_t *f) {
  call_t call;
  memset(&call, 0, sizeof call);
  void *handles[KINDS] = {[DB] = f->db,
                          [TX] = f->tx,
                          [ROWS] = f->rows,
                          [JOBS] = f->jobs,
                          [EVENTS] = f->events,
                          [FIRES] = f->fires,
                          [TEXT] = f->text,
                          [ERROR] = f->error,
                          [WAITER] = f->waiter,
                          [WORKER] = f->worker,
                          [LISTENER] = f->listener,
                          [SUBSCRIPTION] = f->subscription,
                          [LEADER] = f->leader,
                          [OUTBOX] = f->outbox,
                          [RESULT_WAIT] = f->result_wait,
                          [UPDATES] = f->updates};
  call.delivery = f->delivery;
  call.in_hand = f->in_hand;
  call.serial = f->serial;
  memcpy(call.handles, handles, sizeof handles);
  call.null_output = call.bad_text = call.bad_struct = -1;
  return call;
}

static bool all(const unsigned char *bytes, size_t len, unsigned char value) {
  for (size_t i = 0; i < len; i++) {
    if (bytes[i] != value) return false;
  }
  return true;
}

/* Frees what a call has returned, whatever it is: what is not a handle of the right kind is left
 * alone. */
static void release(const unsigned char *output) {
  void *handle;
  memcpy(&handle, output, sizeof handle);
  honker_tx_free(handle);
  honker_rows_free(handle);
  honker_jobs_free(handle);
  honker_events_free(handle);
  honker_fires_free(handle);
  honker_text_free(handle);
  honker_waiter_free(handle);
  honker_worker_free(handle);
  honker_listener_free(handle);
  honker_subscription_free(handle);
  honker_leader_free(handle);
  honker_outbox_free(handle);
  honker_result_wait_free(handle);
  honker_updates_free(handle);
  honker_close(handle, NULL);
}

void run_call(const function_t *function, call_t *call, honker_status_t wanted) {
  char what[512];
  call->err = (function->is & FALLIBLE) != 0 ? ERR : NULL;
  honker_status_t got = function->call(call);
  snprintf(what, sizeof what, "%s", function->name);
  if (call->err != NULL) {
    check_status(wanted, got, __FILE__, __LINE__, what);
  } else if (got != wanted) {
    snprintf(what, sizeof what, "%s: %d instead of %d", function->name, got, wanted);
    check_failed(__FILE__, __LINE__, what);
  }
  for (int i = 0; i < call->outputs; i++) {
    size_t size = call->output_sizes[i], head = call->output_heads[i];
    /* Of a view whose size cannot be right nothing can be cleared. */
    if (head != 0 && call->bad_struct == 0 && wanted == HONKER_INVALID) size = head;
    if (wanted != HONKER_OK && call->null_output != i &&
        !all(call->output[i] + head, size - head, 0)) {
      snprintf(what, sizeof what, "%s: output %d has not been cleared", function->name, i);
      check_failed(__FILE__, __LINE__, what);
    }
    if (!all(call->output[i] + size, OUTPUT_MAX - size, CANARY)) {
      snprintf(what, sizeof what, "%s: writes beyond output %d", function->name, i);
      check_failed(__FILE__, __LINE__, what);
    }
  }
  if (wanted == HONKER_OK && call->outputs > 0) release(call->output[0]);
}
