/*
 * How the library is asked: its structures of options, filled in from a request. They live in the
 * call.
 */
#include "testee.h"

/* Which of two texts the request has under this key; the first if it has none. */
static uint32_t second(call_t *c, const char *key, const char *name) {
  const char *given = json_string_value(json_object_get(c->request, key));
  return given != NULL && strcmp(given, name) == 0;
}

static void unique_opts(call_t *c, honker_enqueue_opts_t *o) {
  o->metadata = text(c->request, "metadata");
  o->unique_key = text(c->request, "unique_key");
  o->unique_until = second(c, "unique_until", "claimed");
  o->on_conflict = second(c, "on_conflict", "replace");
  o->unique_for_s = INT("unique_for_s");
}

const honker_enqueue_opts_t *enqueue_opts(call_t *c) {
  honker_enqueue_opts_t *o = &c->opts.enqueue;
  *o = (honker_enqueue_opts_t)HONKER_ENQUEUE_OPTS_INIT;
  if (c->on->kind == OUTBOX) o->max_attempts = 5;
  json_unpack(c->request, "{s?I,s?I,s?I,s?I,s?I}", "run_at", &o->run_at, "delay_s", &o->delay_s,
              "expires_s", &o->expires_s, "priority", &o->priority, "max_run_s", &o->max_run_s);
  json_unpack(c->on->about, "{s?I}", "max_attempts", &o->max_attempts);
  unique_opts(c, o);
  o->concurrency_key = text(c->request, "concurrency_key");
  const json_t *member = json_object_get(c->request, "member");
  o->batch_id = INT("batch_id");
  o->member_job_id = number(member, "job_id", 0);
  o->member_worker_id = text(member, "worker_id");
  return o;
}

const honker_subscription_opts_t *subscription_opts(call_t *c) {
  honker_subscription_opts_t *o = &c->opts.subscription;
  *o = (honker_subscription_opts_t)HONKER_SUBSCRIPTION_OPTS_INIT;
  o->consumer = text(c->request, "consumer");
  json_unpack(c->request, "{s?I,s?I,s?I}", "from_offset", &o->from_offset, "save_every_n",
              &o->save_every_n, "save_every_ms", &o->save_every_ms);
  return o;
}

const honker_schedule_opts_t *schedule_opts(call_t *c) {
  honker_schedule_opts_t *o = &c->opts.schedule;
  *o = (honker_schedule_opts_t)HONKER_SCHEDULE_OPTS_INIT;
  /* The expiry last, where a null, which is none, ends it. */
  json_unpack(c->request, "{s?I,s?I,s?I}", "priority", &o->priority, "max_attempts",
              &o->max_attempts, "expires_s", &o->expires_s);
  honker_enqueue_opts_t *job = &c->job;
  *job = (honker_enqueue_opts_t)HONKER_ENQUEUE_OPTS_INIT;
  unique_opts(c, job);
  job->delay_s = INT_OR("delay_s", HONKER_NO_TIME);
  o->job = job;
  o->overlap = second(c, "overlap", "skip");
  return o;
}

const honker_schedule_update_t *schedule_update(call_t *c) {
  static const char *const keys[] = {"schedule", "payload", "priority", "expires_s",
                                     "max_attempts"};
  honker_schedule_update_t *update = &c->opts.update;
  *update = (honker_schedule_update_t)HONKER_SCHEDULE_UPDATE_INIT;
  for (int i = 0; i < 5; i++)
    if (json_object_get(c->request, keys[i]) != NULL) update->fields |= 1U << i;
  update->expression = text(c->request, "schedule");
  update->payload = text(c->request, "payload");
  update->priority = INT("priority");
  update->expires_s = INT_OR("expires_s", HONKER_NO_TIME); /* as for null */
  update->max_attempts = INT_OR("max_attempts", HONKER_NO_TIME);
  return update;
}
