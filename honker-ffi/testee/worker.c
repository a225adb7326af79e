/* Workers: how one is made, and what settles its jobs. */
#include "testee.h"

const honker_worker_opts_t *worker_opts(call_t *c) {
  c->opts.worker = (honker_worker_opts_t)HONKER_WORKER_OPTS_INIT;
  c->opts.worker.rescue = 0; /* the cases are told the name that they gave */
  json_unpack(c->on->about, "{s?I}", "visibility_timeout_s", &c->opts.worker.visibility_timeout_s);
  return &c->opts.worker;
}

honker_status_t open_worker(call_t *c) {
  honker_worker_queue_t queue = HONKER_WORKER_QUEUE_INIT;
  queue.name = text(c->on->about, "name");
  TRY(honker_waiter_new(c->db, &c->made->waiter, E));
  TRY(honker_worker_new(c->db, c->made->waiter, 0, &queue, 1, ARG("worker"), worker_opts(c),
                        &c->made->is.worker, E));
  return c->status;
}

static honker_settlement_t settlement(const json_t *given) {
  static const char *const kinds[] = {[HONKER_SETTLE_ACK] = "ack",
                                      [HONKER_SETTLE_RETRY] = "retry",
                                      [HONKER_SETTLE_FAIL] = "fail",
                                      [HONKER_SETTLE_SNOOZE] = "snooze",
                                      [HONKER_SETTLE_RELEASE] = "release"};
  honker_settlement_t settlement = {.id = number(given, "id", 0),
                                    .serial = number(given, "serial", 0),
                                    .delay_s = number(given, "delay_s", HONKER_NO_TIME),
                                    .error = text(given, "error")};
  const char *kind = json_string_value(json_object_get(given, "kind"));
  while (strcmp(kinds[settlement.kind], kind) != 0) settlement.kind++;
  return settlement;
}

/* What is settled is told, also if there was nothing more to tell in that time. */
honker_status_t settle(call_t *c) {
  const json_t *list = json_object_get(c->request, "settlements"), *given;
  size_t len = json_array_size(list), i;
  honker_settlement_t *settlements = calloc(len + 1, sizeof *settlements);
  json_array_foreach(list, i, given) settlements[i] = settlement(given);
  TRY(honker_worker_settle_next(c->on->is.worker, settlements, len, INT("n"), INT("timeout_ms"),
                                &c->jobs, E));
  if (c->status >= 0) {
    json_t *held = json_array();
    for (i = 0; i < len; i++)
      json_array_append_new(held, json_boolean(settlements[i].status == HONKER_OK));
    c->json = batch(c);
    json_object_set_new(c->json, "held", held);
  }
  free(settlements);
  return c->status < 0 ? c->status : HONKER_OK;
}
