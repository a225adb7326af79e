/*
 * The operations: the table of what is called for each, in `dispatch`, and what it takes to call
 * and to answer.
 *
 * Every lane performs its own requests. What they share is in the handles (handles.c); the library
 * is called without the lock.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "testee.h"

static const char features[] =
    "queue tx wait wake updates stream notify sched cron result result_tx settle_tx by_id lock "
    "rate rate_sweep outbox dead stats next_at enqueue_many text bytes journal watcher interrupt "
    "fork foreign fault.abi prune_keep tick_at nesting release settle metadata settings batch step "
    "bulk unique schedule_options unknown_keys claims_by_id metrics counters";

static void crash(call_t *c, const char *what, const char *name) {
  json_t *message = json_sprintf("%s: %s", what, name);
  json_object_set_new(c->answer, "crashed", json_pack("{s:o}", "message", message));
}

/* --- Calls that need more than a line. --- */

static honker_status_t hello(call_t *c) {
  json_t *names = json_array();
  for (const char *name = features; *name != 0; name += strspn(name, " ")) {
    json_array_append_new(names, json_stringn(name, strcspn(name, " ")));
    name += strcspn(name, " ");
  }
  c->json = json_pack("{s:s,s:s,s:i,s:o}", "testee", "c", "version", honker_version(), "pid",
                      (int)getpid(), "features", names);
  return HONKER_OK;
}

static honker_status_t open_db(call_t *c) {
  static const char modes[] = "WDTP"; /* WAL, DELETE, TRUNCATE, PERSIST, as honker.h counts them */
  const char *mode = modes;
  honker_open_opts_t opts = HONKER_OPEN_OPTS_INIT;
  json_unpack(c->request, "{s?I,s?I,s?s}", "busy_timeout_ms", &opts.busy_timeout_ms, "poll_ms",
              &opts.watcher_poll_interval_ms, "journal", &mode);
  opts.journal_mode = (uint32_t)(strchr(modes, *mode) - modes);
  opts.watcher_backend = text(c->request, "watcher");
  c->status = honker_open(ARG("path"), &opts, &c->made->db, E);
  if (c->status == HONKER_OK && c->err != NULL) fputs(honker_error_message(c->err, NULL), stderr);
  return c->status;
}

static honker_status_t sql(call_t *c, bool executes) {
  size_t len;
  honker_value_t *values = parameters(json_object_get(c->request, "params"), &len);
  honker_tx_t *tx = c->on->is.tx;
  honker_status_t status = executes ? honker_tx_execute(tx, ARG("sql"), values, len, &c->number, E)
                           : c->on->kind == TX
                               ? honker_tx_query(tx, ARG("sql"), values, len, &c->rows, E)
                               : honker_query(c->db, ARG("sql"), values, len, &c->rows, E);
  free(values);
  return status;
}

/* For each status of an enqueue what it is called. */
static const char *enqueued(honker_status_t status) {
  return status == HONKER_EXISTS ? "exists" : status == HONKER_REPLACED ? "replaced" : "enqueued";
}

static honker_status_t enqueue(call_t *c) {
  honker_status_t status =
      honker_enqueue(IN, text(c->on->about, "name").data, text(c->on->about, "name").len,
                     ARG("payload"), enqueue_opts(c), &c->number, E);
  if (status < 0) return status;
  c->json = json_pack("{s:I,s:s}", "id", c->number, "status", enqueued(status));
  return HONKER_OK;
}

static honker_status_t dead_requeue(call_t *c) {
  honker_status_t status = honker_dead_requeue(IN, INT("id"), E);
  return status == HONKER_EXISTS ? HONKER_EMPTY : status;
}

static honker_status_t enqueue_many(call_t *c) {
  const json_t *payloads = json_object_get(c->request, "payloads"), *payload;
  size_t len = json_array_size(payloads), i;
  honker_job_spec_t *specs = calloc(len + 1, sizeof *specs);
  honker_enqueue_result_t *results = calloc(len + 1, sizeof *results);
  json_array_foreach(payloads, i, payload) {
    specs[i] = (honker_job_spec_t)HONKER_JOB_SPEC_INIT;
    specs[i].queue = text(c->on->about, "name");
    specs[i].payload.data = (const uint8_t *)json_string_value(payload);
    specs[i].payload.len = json_string_length(payload);
    specs[i].opts = enqueue_opts(c);
  }
  honker_status_t status = honker_enqueue_many(IN, specs, len, results, E);
  if (status == HONKER_OK) c->json = json_array();
  for (i = 0; i < len; i++) json_array_append_new(c->json, json_integer(results[i].id));
  free(specs);
  free(results);
  return status;
}

static honker_status_t ack_many(call_t *c) {
  const json_t *list = json_object_get(c->request, "ids"), *id;
  int64_t *ids = calloc(json_array_size(list) + 1, sizeof *ids);
  size_t i;
  json_array_foreach(list, i, id) ids[i] = json_integer_value(id);
  honker_status_t status = honker_ack_batch(IN, ids, i, ARG("worker"), &c->number, E);
  free(ids);
  return status;
}

static honker_status_t listener_next(call_t *c) {
  honker_notification_view_t view = HONKER_NOTIFICATION_VIEW_INIT;
  TRY(honker_listener_next(c->on->is.listener, INT("timeout_ms"), &view, E));
  if (c->status == HONKER_OK) c->json = as_notification(&view);
  return c->status;
}

static honker_status_t subscription_next(call_t *c) {
  honker_event_view_t view = HONKER_EVENT_VIEW_INIT;
  TRY(honker_subscription_next(c->on->is.subscription, INT("timeout_ms"), &view, E));
  if (c->status == HONKER_OK) c->json = as_event(&view);
  return c->status;
}

static honker_status_t wait_result(call_t *c) {
  honker_waiter_t *waiter = NULL;
  honker_result_wait_t *wait = NULL;
  TRY(honker_waiter_new(c->db, &waiter, E));
  TRY(honker_result_wait_new(c->db, waiter, 0, INT("id"), &wait, E));
  TRY(honker_result_wait_next(wait, INT("timeout_ms"), &c->text, E));
  honker_result_wait_free(wait);
  honker_waiter_free(waiter);
  return c->status;
}

static honker_status_t acquire(call_t *c) {
  if (json_object_get(c->request, "owner") == NULL)
    json_object_set_new(c->request, "owner", json_sprintf("%d.%p", (int)getpid(), (void *)c->made));
  return honker_lock_acquire(c->db, NULL, ARG("name"), ARG("owner"), INT("ttl_s"), E);
}

static honker_status_t fork_steps(call_t *c) {
  int ends[2];
  if (pipe(ends) != 0) abort();
  lock();
  pid_t child = fork();
  unlock();
  if (child == 0) {
    json_t *answers = json_array(), *step;
    size_t i;
    for (handle_t *handle = handles; handle != NULL; handle = handle->next)
      pthread_rwlock_init(&handle->in_use, NULL); /* as held by threads that are not here */
    json_array_foreach(json_object_get(c->request, "steps"), i, step)
        json_array_append_new(answers, perform(step));
    _exit(json_dumpfd(answers, ends[1], JSON_COMPACT));
  }
  close(ends[1]);
  c->json = json_loadfd(ends[0], JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, NULL);
  close(ends[0]);
  int how = 0;
  waitpid(child, &how, 0);
  if (c->json == NULL) crash(c, "fork", "the child died before it answered");
  return HONKER_OK;
}

/* The system's SQLite, which is not the library's. */
static honker_status_t foreign_exec(call_t *c) {
  sqlite3 *db = NULL;
  int64_t times = INT_OR("times", 1);
  int result = sqlite3_open((const char *)text(c->request, "path").data, &db);
  sqlite3_busy_timeout(db, 5000);
  for (; c->number < times && result == SQLITE_OK; c->number += result == SQLITE_OK)
    result = sqlite3_exec(db, (const char *)text(c->request, "sql").data, NULL, NULL, NULL);
  if (result != SQLITE_OK) crash(c, "the system's SQLite", sqlite3_errmsg(db));
  sqlite3_close(db);
  return HONKER_OK;
}

/* --- The table. --- */

static json_t *flag(call_t *c) { return json_boolean(c->status == HONKER_OK); }
static json_t *integer(call_t *c) { return json_integer(c->number); }
static json_t *given(call_t *c) { return c->json; }

/* Answers with what the library returned as `as` has it, under `key` if that is not all. */
static bool finish(call_t *c, honker_status_t status, json_t *(*as)(call_t *), const char *key) {
  c->status = status;
  bool returned = as != NULL && (status == HONKER_OK || status == HONKER_EMPTY);
  json_t *value = returned ? as(c) : NULL;
  if (c->status < 0) {
    size_t len = 0;
    const char *name = honker_error_name(c->err), *message = honker_error_message(c->err, &len);
    json_object_set_new(c->answer, "error",
                        json_pack("{s:s,s:s,s:s%}", "name", name + strlen("HONKER_"), "type",
                                  "honker_error_t", "message", message, len));
  } else if (value == NULL && status != HONKER_OK) {
    const char *name = honker_status_name(status) + strlen("HONKER_");
    json_object_set_new(c->answer, "outcome", json_string(name));
  } else if (json_object_get(c->answer, "crashed") == NULL) {
    json_t *ok = key != NULL  ? json_pack("{s:O}", key, value)
                 : as != NULL ? json_incref(value)
                              : json_object();
    json_object_set_new(c->answer, "ok", ok);
  }
  json_decref(value);
  return true;
}

#define IS(name, kinds) (strcmp(op, name) == 0 && ((kinds) == 0 || (kind & (kinds)) != 0))
/* What `on` must be, how the answer is made, under which key, and the call. */
#define DOES(name, kinds, as, key, call) \
  if (IS(name, kinds)) return finish(c, call, as, key)
#define DO(name, kinds, call) DOES(name, kinds, NULL, NULL, call)
#define MAKE(name, kinds, makes, call) \
  if (IS(name, kinds) && made(c, makes)) return finish(c, call, NULL, NULL)

#define NAME OF("name")
#define TOPIC OF("topic")
#define LIMIT INT_OR("limit", -1)
#define TIMEOUT INT("timeout_ms")
#define ON c->on->is
#define MADE c->made->is
#define WAITER c->made->waiter
#define OUT &c->number, E
#define TEXT_OUT &c->text, E
#define NEW(call) (TRY(honker_waiter_new(c->db, &WAITER, E)), TRY(call))

static bool made(call_t *c, int kind) {
  if (c->made != NULL) c->made->kind = kind;
  return c->made != NULL;
}

/* False if there is no such operation. */
static bool dispatch(call_t *c, const char *op) {
  const int kind = c->on != NULL ? c->on->kind : NOTHING;
  DOES("hello", NOTHING, given, NULL, hello(c));
  MAKE("open", NOTHING, DB, open_db(c));
  DO("close", ANY, close_handle(c->on, E));
  DO("interrupt", DB, honker_interrupt(c->db, E));
  DOES("fork", NOTHING, given, "answers", fork_steps(c));
  DOES("foreign.exec", NOTHING, integer, "done", foreign_exec(c));

  MAKE("tx.begin", DB, TX, honker_tx_begin(c->db, &MADE.tx, E));
  DO("tx.commit", TX, honker_tx_commit(ON.tx, E));
  DO("tx.rollback", TX, honker_tx_rollback(ON.tx, E));
  DOES("sql.exec", TX, integer, "changes", sql(c, true));
  DOES("sql.query", TX | DB, rows, "rows", sql(c, false));

  MAKE("queue.open", DB, QUEUE, HONKER_OK);
  DOES("queue.enqueue", QUEUE, given, NULL, enqueue(c));
  DOES("queue.enqueue_many", QUEUE, given, "ids", enqueue_many(c));
  DOES("queue.claim", QUEUE, jobs, "jobs",
       honker_claim(IN, NAME, ARG("worker"), INT("n"), worker_opts(c)->visibility_timeout_s,
                    &c->jobs, E));
  DO("queue.ack", QUEUE, honker_ack(IN, INT("id"), ARG("worker"), E));
  DO("queue.retry", QUEUE,
     honker_retry(IN, INT("id"), ARG("worker"), INT("delay_s"), ARG("error"), E));
  DO("queue.fail", QUEUE, honker_fail(IN, INT("id"), ARG("worker"), ARG("error"), E));
  DO("queue.release", QUEUE, honker_release(IN, INT("id"), ARG("worker"), INT("delay_s"), E));
  DO("queue.heartbeat", QUEUE, honker_heartbeat(IN, INT("id"), ARG("worker"), INT("extend_s"), E));
  DOES("queue.ack_many", QUEUE, integer, "acked", ack_many(c));
  DOES("queue.cancel", QUEUE, flag, "cancelled", honker_cancel(IN, INT("id"), E));
  DOES("queue.get", QUEUE, table, "job", honker_get_job(IN, INT("id"), TEXT_OUT));
  DOES("queue.next_at", QUEUE, integer, "at", honker_queue_next_claim_at(IN, NAME, OUT));
  DOES("queue.sweep", QUEUE, integer, "n", honker_sweep_expired(IN, NAME, OUT));
  DOES("queue.stats", QUEUE, value, "stats", honker_queue_stats(IN, NAME, TEXT_OUT));
  DO("queue.configure", QUEUE, honker_queue_configure(IN, NAME, ARG("settings"), E));
  DOES("queue.settings", QUEUE, value, "settings", honker_queue_settings(IN, NAME, TEXT_OUT));
  DOES("queues", DB, value, "queues", honker_queues(IN, TEXT_OUT));
  DOES("metrics", DB, value, NULL, honker_metrics(IN, TEXT_OUT));
  DOES("dead.groups", QUEUE, table, "groups", honker_dead_groups(IN, NAME, TEXT_OUT));
  DOES("jobs.list", DB, table, "page", honker_job_list(IN, ARG("filter"), TEXT_OUT));
  DOES("jobs.apply", DB, value, "applied",
       honker_job_apply(IN, ARG("filter"), ARG("action"), TEXT_OUT));
  DOES("batch.create", DB, integer, "id", honker_batch_create(IN, ARG("options"), OUT));
  DOES("batch.seal", DB, flag, "sealed", honker_batch_seal(IN, INT("id"), E));
  DOES("batch.get", DB, value, "batch", honker_batch_get(IN, INT("id"), TEXT_OUT));
  DOES("step.get", QUEUE, value, "value", honker_step_get(IN, INT("id"), ARG("name"), TEXT_OUT));
  DOES("step.save", QUEUE, value, "value",
       honker_step_save(IN, INT("id"), ARG("worker"), ARG("name"), ARG("value"), TEXT_OUT));
  DOES("dead.list", QUEUE, table, "jobs", honker_dead_list(IN, NAME, LIMIT, TEXT_OUT));
  DOES("dead.requeue", QUEUE, flag, "requeued", dead_requeue(c));
  DOES("dead.purge", QUEUE, integer, "n", honker_dead_purge(IN, NAME, INT("older_than_s"), OUT));

  MAKE("worker.open", QUEUE, WORKER, open_worker(c));
  MAKE("listen.open", DB, LISTENER,
       NEW(honker_listener_new(c->db, WAITER, 0, ARG("channel"), 15000, &MADE.listener, E)));
  MAKE("stream.subscribe", STREAM, SUBSCRIPTION,
       NEW(honker_subscription_new(c->db, WAITER, 0, TOPIC, subscription_opts(c),
                                   &MADE.subscription, E)));
  MAKE("updates.open", DB, UPDATES, NEW(honker_updates_new(c->db, WAITER, 0, &MADE.updates, E)));
  DOES("next", WORKER, batch, NULL,
       honker_worker_next(ON.worker, INT_OR("n", 1), TIMEOUT, &c->jobs, E));
  DOES("worker.settle", WORKER, given, NULL, settle(c));
  DOES("next", LISTENER, given, "notification", listener_next(c));
  DOES("next", SUBSCRIPTION, given, "event", subscription_next(c));
  DO("next", UPDATES, honker_updates_next(ON.updates, TIMEOUT, E));
  DO("wake", CONSUMER, honker_waiter_wake(c->on->waiter, E));

  MAKE("stream.open", DB, STREAM, HONKER_OK);
  DO("stream.configure", STREAM, honker_stream_configure(IN, TOPIC, ARG("settings"), E));
  DOES("stream.trim", STREAM, integer, "n", honker_stream_trim(IN, TOPIC, ARG("settings"), OUT));
  DOES("stream.publish", STREAM, integer, "offset",
       honker_stream_publish(IN, TOPIC, ARG("key"), ARG("payload"), OUT));
  DOES("stream.read", STREAM, events, "events",
       honker_stream_read_since(IN, TOPIC, INT("offset"), LIMIT, &c->events, E));
  DOES("stream.read_consumer", STREAM, events, "events",
       (TRY(honker_stream_get_offset(IN, ARG("consumer"), TOPIC, OUT)),
        TRY(honker_stream_read_since(IN, TOPIC, c->number, LIMIT, &c->events, E))));
  DOES("stream.save", STREAM, flag, "saved",
       honker_stream_save_offset(IN, ARG("consumer"), TOPIC, INT("offset"), E));
  DOES("stream.offset", STREAM, integer, "offset",
       honker_stream_get_offset(IN, ARG("consumer"), TOPIC, OUT));
  DO("subscription.ack", SUBSCRIPTION, honker_subscription_ack(ON.subscription, E));
  DO("subscription.save", SUBSCRIPTION, honker_subscription_save(ON.subscription, E));
  DOES("subscription.offset", SUBSCRIPTION, integer, "offset",
       honker_subscription_offset(ON.subscription, OUT));

  DOES("notify.send", DB, integer, "id", honker_notify(IN, ARG("channel"), ARG("payload"), OUT));
  DO("notify.configure", DB, honker_notifications_configure(IN, ARG("settings"), E));
  DOES("notify.prune", DB, integer, "n",
       honker_notifications_prune(IN, INT_OR("older_than_s", HONKER_NO_TIME),
                                  INT_OR("max_keep", HONKER_NO_TIME), OUT));

  DO("sched.add", DB,
     honker_scheduler_register(IN, ARG("name"), ARG("queue"), ARG("schedule"), ARG("payload"),
                               schedule_opts(c), E));
  DOES("sched.remove", DB, flag, "changed", honker_scheduler_unregister(IN, ARG("name"), E));
  DOES("sched.pause", DB, flag, "changed", honker_scheduler_pause(IN, ARG("name"), E));
  DOES("sched.resume", DB, flag, "changed", honker_scheduler_resume(IN, ARG("name"), E));
  DOES("sched.update", DB, flag, "changed",
       honker_scheduler_update(IN, ARG("name"), schedule_update(c), E));
  DOES("sched.list", DB, table, "schedules", honker_scheduler_list(IN, TEXT_OUT));
  DOES("sched.tick", DB, fires, "fires",
       honker_scheduler_tick(IN, INT_OR("now", HONKER_NO_TIME), &c->fires, E));
  DOES("sched.soonest", DB, integer, "at", honker_scheduler_soonest(IN, OUT));
  MAKE("sched.run", DB, LEADER,
       (NEW(honker_leader_new(c->db, WAITER, 0, ARG("owner"), &MADE.leader, E)), start(c)));
  DOES("cron.next_after", DB, integer, "at",
       honker_cron_next_after(ARG("schedule"), INT("from"), OUT));

  DO("result.save", DB, honker_result_save(IN, INT("id"), ARG("value"), INT("ttl_s"), E));
  DOES("result.get", DB, value, "value", honker_result_get(IN, INT("id"), TEXT_OUT));
  DOES("result.wait", DB, value, "value", wait_result(c));
  DOES("result.sweep", DB, integer, "n", honker_result_sweep(IN, OUT));

  MAKE("lock.acquire", DB, LOCK, acquire(c));
  DO("lock.renew", LOCK, honker_lock_renew(IN, NAME, OF("owner"), INT("ttl_s"), E));
  DO("lock.release", LOCK, release(c->on, E));
  DO("rate.try", DB, honker_rate_limit_try(IN, ARG("name"), INT("limit"), INT("per_s"), E));
  DOES("rate.sweep", DB, integer, "n", honker_rate_limit_sweep(IN, INT("older_than_s"), OUT));

  MAKE("outbox.open", DB, OUTBOX, open_outbox(c));
  DOES("outbox.enqueue", OUTBOX, integer, "id",
       honker_enqueue(IN, OF("queue"), ARG("payload"), enqueue_opts(c), OUT));
  DOES("outbox.run_once", OUTBOX, flag, "handled", run_once(c));
  MAKE("outbox.run", OUTBOX, DELIVERY,
       (NEW(honker_outbox_new(c->db, WAITER, 0, NAME, ARG("worker"), outbox_opts(c), &MADE.delivery,
                              E)),
        start(c)));
  DOES("outbox.calls", OUTBOX, given, "payloads", outbox_calls(c));
  return false;
}

json_t *perform(json_t *request) {
  const char *as = NULL, *on = NULL, *tx = NULL, *op = NULL;
  call_t call = {.request = request, .answer = json_object()}, *c = &call;
  json_object_set(c->answer, REQUEST_ID, json_object_get(request, REQUEST_ID));
  json_unpack(request, "{s:s,s?s,s?s,s?s}", "op", &op, "as", &as, "on", &on, "tx", &tx);
  make_plain(request);

  lock();
  handle_t *old = find(as), *joined = find(tx);
  c->on = find(on);
  if (old != NULL) old->replaced = true;
  unlock();
  if (old != NULL) close_handle(old, NULL);
  if (c->on != NULL) c->db = c->on->db;
  if (joined != NULL) c->tx = joined->is.tx;
  if (as != NULL) c->made = make_handle(c, as);
  bool uses = c->on != NULL && (c->on->kind & CONSUMER) && strcmp(op, "close") != 0;
  if (uses) pthread_rwlock_rdlock(&c->on->in_use);
  if (on != NULL && c->on == NULL)
    crash(c, "there is no such handle", on);
  else if (tx != NULL && (joined == NULL || joined->kind != TX))
    crash(c, "there is no such transaction", tx);
  else if (!dispatch(c, op))
    crash(c, "there is no such operation, or not of this handle", op);
  if (uses) pthread_rwlock_unlock(&c->on->in_use);
  if (c->made != NULL) keep_handle(c->made, json_object_get(c->answer, "ok") != NULL);
  honker_error_free(c->err);
  return c->answer;
}
