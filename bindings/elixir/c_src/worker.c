/*
 * Workers: what they are made of, and a turn of one that runs jobs beside each other.
 */
#include "nif.h"

#define QUEUES_MAX 256

/* {name, weight, max_in_hand or nil} */
static int get_queue(struct in *in, term t, honker_worker_queue_t *queue) {
  const term *parts;
  int arity;
  *queue = (honker_worker_queue_t)HONKER_WORKER_QUEUE_INIT;
  if (!enif_get_tuple(in->env, t, &arity, &parts) || arity != 3) {
    in->refusal = failure(in->env, HONKER_INVALID, "a queue has a name, a weight and a limit");
    return 0;
  }
  return get_text(in, parts[0], "queue", &queue->name) && get_int(in, parts[1], "weight", &queue->weight) &&
         (enif_is_identical(parts[2], atom_nil) || get_int(in, parts[2], "max_in_hand", &queue->in_hand_max));
}

/* options: worker_id, queues, a map of the others */
honker_status_t worker_make(struct in *in, honker_waiter_t *waiter, uint64_t token, const term *options,
                            honker_worker_t **worker) {
  honker_worker_opts_t opts = HONKER_WORKER_OPTS_INIT;
  honker_worker_queue_t queues[QUEUES_MAX];
  honker_bytes_t worker_id;
  size_t len = 0;
  int64_t heartbeat = 1, rescue = 1;
  term head, tail = options[1];
  if (!get_text(in, options[0], "worker_id", &worker_id) || !option(in, options[2], "heartbeat", &heartbeat) ||
      !option(in, options[2], "rescue", &rescue) ||
      !option(in, options[2], "visibility_timeout_s", &opts.visibility_timeout_s) ||
      !option(in, options[2], "max_run_s", &opts.max_run_s) ||
      !option(in, options[2], "retry_base_s", &opts.retry_base_s) ||
      !option(in, options[2], "retry_max_s", &opts.retry_max_s) ||
      !real_option(in, options[2], "retry_factor", &opts.retry_factor) ||
      !real_option(in, options[2], "retry_jitter", &opts.retry_jitter)) {
    return HONKER_INVALID;
  }
  opts.heartbeat = heartbeat != 0;
  opts.rescue = rescue != 0;
  while (enif_get_list_cell(in->env, tail, &head, &tail)) {
    if (len == QUEUES_MAX) {
      in->refusal = failure(in->env, HONKER_INVALID, "a worker has 256 queues at most");
      return HONKER_INVALID;
    }
    if (!get_queue(in, head, &queues[len++])) return HONKER_INVALID;
  }
  return lib.worker_new(in->db, waiter, token, queues, len, B(worker_id), &opts, worker, &in->err);
}

term worker_look(struct in *in, honker_worker_t *worker, int64_t n) {
  honker_jobs_t *jobs;
  honker_status_t status;
  size_t len;
  do {
    jobs = NULL;
    len = 0;
    status = lib.worker_next(worker, n, 0, &jobs, &in->err);
    /* Who only claims is not told what it has lost: its settlements are. */
    if (status == HONKER_OK) lib.jobs_len(jobs, &len, NULL);
    if (status == HONKER_OK && len == 0) lib.jobs_free(jobs);
  } while (status == HONKER_OK && len == 0);
  return jobs_answer(in, status, &jobs);
}

/* [{id, serial, reason}] */
static term lost_list(ErlNifEnv *env, const honker_jobs_t *jobs) {
  static const char *const reasons[] = {"unknown", "gone", "lapsed", "taken", "timeout"};
  honker_lost_job_view_t views[32] = {HONKER_LOST_JOB_VIEW_INIT};
  term list = enif_make_list(env, 0);
  size_t first = 0, read = 0;
  while (lib.jobs_lost(jobs, first, views, 32, &read, NULL) == HONKER_OK && read > 0) {
    for (size_t i = 0; i < read; ++i) {
      const char *reason = reasons[views[i].reason < sizeof reasons / sizeof *reasons ? views[i].reason : 0];
      const term one = enif_make_tuple3(env, enif_make_int64(env, views[i].id), enif_make_int64(env, views[i].serial),
                                        atom(env, reason));
      list = enif_make_list_cell(env, one, list);
    }
    first += read;
  }
  return list;
}

/* {kind, id, serial, delay_s or nil, error} */
static int get_settlement(struct in *in, term t, honker_settlement_t *out) {
  const term *parts;
  int arity;
  int64_t kind;
  memset(out, 0, sizeof *out);
  if (!enif_get_tuple(in->env, t, &arity, &parts) || arity != 5) {
    in->refusal = failure(in->env, HONKER_INVALID, "a settlement has five parts");
    return 0;
  }
  if (!get_int(in, parts[0], "kind", &kind) || !get_int(in, parts[1], "id", &out->id) ||
      !get_int(in, parts[2], "serial", &out->serial) || !get_time(in, parts[3], "delay_s", &out->delay_s) ||
      !get_text(in, parts[4], "error", &out->error)) {
    return 0;
  }
  out->kind = (uint32_t)kind;
  return 1;
}

/* What became of each: :ok, :lost, or the number of an error if it was not committed */
static term statuses(ErlNifEnv *env, const honker_settlement_t *settlements, unsigned len) {
  term list = enif_make_list(env, 0);
  for (unsigned i = len; i > 0; --i) {
    const honker_status_t status = settlements[i - 1].status;
    const term one = status < 0 ? enif_make_int(env, status) : atom(env, status == HONKER_OK ? "ok" : "lost");
    list = enif_make_list_cell(env, one, list);
  }
  return list;
}

/* worker_turn(consumer, settlements, n): {{:ok, {jobs, lost}} | :timeout | :closed | {:error, _}, statuses, why}, where why says
 * what the file refused of it, or is nil. Never waits. */
FUNCTION(worker_turn) {
  struct in self = {.env = env}, *in = &self;
  honker_worker_t *worker;
  honker_jobs_t *jobs = NULL;
  unsigned len;
  term head, tail = argv[1], answered;
  (void)argc;
  if (!get_worker(in, argv[0], &worker) || !enif_get_list_length(env, argv[1], &len)) return enif_make_badarg(env);
  INT(2, n);
  honker_settlement_t *settlements = enif_alloc(len * sizeof *settlements + 1);
  if (settlements == NULL) return enif_make_badarg(env);
  for (unsigned i = 0; i < len && enif_get_list_cell(env, tail, &head, &tail); ++i) {
    if (!get_settlement(in, head, &settlements[i])) {
      enif_free(settlements);
      return enif_make_badarg(env);
    }
    /* Until it is committed. */
    settlements[i].status = HONKER_INTERNAL;
  }
  honker_status_t status = HONKER_CLOSED;
  if (worker != NULL) status = lib.worker_settle_next(worker, settlements, len, n, 0, &jobs, &in->err);
  term why = atom_nil;
  if (status >= HONKER_OK && in->err != NULL) {
    honker_bytes_t message = {NULL, 0};
    message.data = (const uint8_t *)lib.error_message(in->err, &message.len);
    why = binary(env, message);
    lib.error_free(in->err);
    in->err = NULL;
  }
  if (status == HONKER_OK) {
    answered = answer(in, status, enif_make_tuple2(env, jobs_list(env, jobs), lost_list(env, jobs)));
    lib.jobs_free(jobs);
  } else {
    answered = done(in, status);
  }
  answered = enif_make_tuple3(env, answered, statuses(env, settlements, len), why);
  enif_free(settlements);
  return answered;
}
