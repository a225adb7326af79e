/*
 * Handles: what closing one means, and those that have a life of their own: outboxes with the work
 * that they do, and the threads that run schedules and outboxes.
 *
 * The list of handles and what outboxes were given are under the lock. A handle that is in use is
 * not freed: who closes it ends the waits with it, then waits until the calls with it are over.
 */
#include <stdio.h>

#include "testee.h"

handle_t *handles;

honker_status_t release(const handle_t *lock, honker_error_t **err) {
  return honker_lock_release(lock->db, NULL, TEXT(lock->about, "name"), TEXT(lock->about, "owner"),
                             err);
}

honker_status_t close_handle(handle_t *handle, honker_error_t **err) {
  honker_status_t status = HONKER_OK;
  honker_waiter_free(handle->waiter);
  pthread_rwlock_wrlock(&handle->in_use);
  bool joins = handle->runs;
  handle->runs = false;
  pthread_rwlock_unlock(&handle->in_use);
  if (joins) pthread_join(handle->thread, NULL);
  if (handle->kind == DB) status = honker_close(handle->db, err);
  if (handle->kind == TX) honker_tx_free(handle->is.tx);
  if (handle->kind == LOCK) status = release(handle, err);
  if (handle->kind == WORKER) honker_worker_free(handle->is.worker);
  if (handle->kind == LISTENER) honker_listener_free(handle->is.listener);
  if (handle->kind == SUBSCRIPTION) honker_subscription_free(handle->is.subscription);
  if (handle->kind == UPDATES) honker_updates_free(handle->is.updates);
  if (handle->kind == LEADER) honker_leader_free(handle->is.leader);
  if (handle->kind == DELIVERY) honker_outbox_free(handle->is.delivery);
  return status < 0 ? status : HONKER_OK;
}

void free_handle(handle_t *handle) {
  json_decref(handle->about);
  json_decref(handle->calls);
  pthread_rwlock_destroy(&handle->in_use);
  free(handle);
}

handle_t *make_handle(const call_t *c, const char *name) {
  handle_t *handle = calloc(1, sizeof *handle);
  *handle = (handle_t){.name = name, .about = json_incref(c->request), .on = c->on, .db = c->db};
  pthread_rwlock_init(&handle->in_use, NULL);
  return handle;
}

void keep_handle(handle_t *handle, bool is_open) {
  lock();
  if (is_open) {
    handle->next = handles;
    handles = handle;
  }
  unlock();
  if (is_open) return;
  honker_waiter_free(handle->waiter);
  free_handle(handle);
}

/* Under the lock. */
handle_t *find(const char *name) {
  handle_t *handle = name != NULL ? handles : NULL;
  while (handle != NULL && (handle->replaced || strcmp(handle->name, name) != 0))
    handle = handle->next;
  return handle;
}

honker_status_t open_outbox(call_t *c) {
  static const char prefix[] = "_outbox:";
  const honker_bytes_t name = text(c->request, "name");
  const size_t len = strlen(prefix) + name.len;
  char *queue = malloc(len + 1);
  memcpy(queue, prefix, strlen(prefix));
  memcpy(queue + strlen(prefix), name.data, name.len);
  json_object_set_new(c->request, "queue", json_stringn_nocheck(queue, len));
  c->made->calls = json_array();
  free(queue);
  return HONKER_OK;
}

const honker_outbox_opts_t *outbox_opts(call_t *c) {
  honker_outbox_opts_t *o = &c->opts.outbox;
  *o = (honker_outbox_opts_t)HONKER_OUTBOX_OPTS_INIT;
  json_unpack(c->on->about, "{s?I,s?I}", "visibility_timeout_s", &o->visibility_timeout_s,
              "base_backoff_s", &o->base_backoff_s);
  return o;
}

/* Waits for a job and does with it what the outbox was opened to do. */
static honker_status_t deliver(handle_t *outbox, honker_outbox_t *worker, int64_t timeout_ms,
                               honker_error_t **err) {
  honker_jobs_t *jobs = NULL;
  honker_job_view_t job = HONKER_JOB_VIEW_INIT;
  honker_status_t status = honker_outbox_next(worker, timeout_ms, &jobs, err);
  if (status == HONKER_OK) status = honker_jobs_get(jobs, 0, &job, err);
  if (status == HONKER_OK) {
    const json_t *script = json_object_get(outbox->about, "deliver");
    lock();
    size_t nth = json_array_size(outbox->calls), last = json_array_size(script) - 1;
    json_array_append_new(outbox->calls, as_value(job.payload));
    unlock();
    const char *says = json_string_value(json_array_get(script, nth < last ? nth : last));
    status = strcmp(says, "ok") == 0
                 ? honker_outbox_delivered(worker, job.id, err)
                 : honker_outbox_failed(worker, job.id, job.attempts, (const uint8_t *)says,
                                        strlen(says), err);
    if (status == HONKER_LOST) status = HONKER_OK;
  }
  honker_jobs_free(jobs);
  return status;
}

honker_status_t run_once(call_t *c) {
  honker_waiter_t *waiter = NULL;
  honker_outbox_t *worker = NULL;
  TRY(honker_waiter_new(c->db, &waiter, E));
  TRY(honker_outbox_new(c->db, waiter, 0, OF("name"), ARG("worker"), outbox_opts(c), &worker, E));
  TRY(deliver(c->on, worker, 0, E));
  honker_outbox_free(worker);
  honker_waiter_free(waiter);
  return c->status == HONKER_TIMEOUT ? HONKER_EMPTY : c->status;
}

honker_status_t outbox_calls(call_t *c) {
  lock();
  c->json = json_copy(c->on->calls);
  unlock();
  return HONKER_OK;
}

/* The thread of `sched.run` and `outbox.run`. What fails is logged, and it goes on until its waiter
 * is freed. */
static void *run(void *argument) {
  handle_t *runner = argument;
  honker_status_t status;
  do {
    honker_error_t *err = NULL;
    honker_fires_t *fires = NULL;
    status = runner->kind == LEADER ? honker_leader_next(runner->is.leader, -1, &fires, &err)
                                    : deliver(runner->on, runner->is.delivery, -1, &err);
    honker_fires_free(fires);
    if (status < 0) {
      fprintf(stderr, "runner: %s\n", honker_error_message(err, NULL));
      status = honker_wait(runner->waiter, 100, NULL); /* and not at once again */
    }
    honker_error_free(err);
  } while (status >= 0 && status != HONKER_CLOSED);
  return NULL;
}

honker_status_t start(call_t *c) {
  if (c->status == HONKER_OK)
    c->made->runs = pthread_create(&c->made->thread, NULL, run, c->made) == 0;
  return c->status;
}
