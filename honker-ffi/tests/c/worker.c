/* Workers: several queues, what they have in hand and lose, and what becomes of it. */
#include <stdlib.h>

#include "check.h"

typedef struct {
  honker_db_t *db;
  honker_waiter_t *waiter;
  honker_worker_t *worker;
} bench_t;

static honker_worker_queue_t queue_of(const char *name, int64_t weight, int64_t in_hand_max) {
  honker_worker_queue_t queue = HONKER_WORKER_QUEUE_INIT;
  queue.name = (honker_bytes_t){S(name)};
  queue.weight = weight;
  queue.in_hand_max = in_hand_max;
  return queue;
}

static honker_worker_opts_t options(void) {
  honker_worker_opts_t opts = HONKER_WORKER_OPTS_INIT;
  opts.fallback_ms = -1;
  return opts;
}

static bench_t bench_with(const honker_worker_queue_t *queues, size_t len,
                          const honker_worker_opts_t *opts) {
  bench_t b = {open_db("a.db"), NULL, NULL};
  OK(honker_waiter_new(b.db, &b.waiter, ERR));
  OK(honker_worker_new(b.db, b.waiter, 1, queues, len, T("w"), opts, &b.worker, ERR));
  return b;
}

static bench_t bench_on(const char *queue, const honker_worker_opts_t *opts) {
  honker_worker_queue_t only = queue_of(queue, 1, -1);
  return bench_with(&only, 1, opts);
}

static void bench_free(bench_t *b) {
  honker_worker_free(b->worker);
  honker_waiter_free(b->waiter);
  OK(honker_close(b->db, ERR));
}

static int64_t add(bench_t *b, const char *queue) {
  int64_t id = 0;
  OK(honker_enqueue(b->db, NULL, S(queue), T("x"), NULL, &id, ERR));
  return id;
}

static void execute(bench_t *b, const char *sql) {
  honker_tx_t *tx = NULL;
  int64_t changes = 0;
  OK(honker_tx_begin(b->db, &tx, ERR));
  OK(honker_tx_execute(tx, S(sql), NULL, 0, &changes, ERR));
  OK(honker_tx_commit(tx, ERR));
  honker_tx_free(tx);
}

/* The only job of a batch, in which nothing was lost. Its texts are gone. */
static honker_job_view_t only_job(honker_jobs_t *jobs) {
  honker_job_view_t job = HONKER_JOB_VIEW_INIT;
  honker_lost_job_view_t lost = HONKER_LOST_JOB_VIEW_INIT;
  size_t len = 0;
  OK(honker_jobs_len(jobs, &len, ERR));
  CHECK(len == 1);
  OK(honker_jobs_lost(jobs, 0, &lost, 1, &len, ERR));
  CHECK(len == 0 && lost.id == 0);
  OK(honker_jobs_get(jobs, 0, &job, ERR));
  honker_jobs_free(jobs);
  return job;
}

static honker_job_view_t next_job(bench_t *b) {
  honker_jobs_t *jobs = NULL;
  OK(honker_worker_next(b->worker, 1, 10000, &jobs, ERR));
  return only_job(jobs);
}

/* The only job that was lost, where none was claimed. */
static honker_lost_job_view_t only_lost(honker_jobs_t *jobs) {
  honker_lost_job_view_t lost[2] = {HONKER_LOST_JOB_VIEW_INIT, HONKER_LOST_JOB_VIEW_INIT};
  size_t len = 9;
  OK(honker_jobs_len(jobs, &len, ERR));
  CHECK(len == 0);
  OK(honker_jobs_lost(jobs, 0, lost, 2, &len, ERR));
  CHECK(len == 1 && lost[1].id == 0 && lost[0].struct_size == sizeof lost[0]);
  EXPECT(HONKER_INVALID, honker_jobs_lost(jobs, 2, lost, 2, &len, ERR));
  OK(honker_jobs_lost(jobs, 1, lost, 2, &len, ERR));
  CHECK(len == 0 && lost[0].id == 0);
  OK(honker_jobs_lost(jobs, 0, lost, 1, &len, ERR));
  honker_jobs_free(jobs);
  return lost[0];
}

static honker_lost_job_view_t next_lost(bench_t *b) {
  honker_jobs_t *jobs = NULL;
  OK(honker_worker_next(b->worker, 0, 60000, &jobs, ERR));
  return only_lost(jobs);
}

static bool idle(bench_t *b) {
  honker_jobs_t *jobs = NULL;
  honker_status_t status = honker_worker_next(b->worker, 1, 0, &jobs, NULL);
  honker_jobs_free(jobs);
  return status == HONKER_TIMEOUT;
}

/* One settlement, and no further job. */
static honker_status_t settles(bench_t *b, const honker_job_view_t *job, uint32_t kind,
                               int64_t delay_s) {
  honker_settlement_t given = {kind, -99, job->id, job->serial, delay_s, {T("why")}};
  honker_jobs_t *jobs = NULL;
  EXPECT(HONKER_TIMEOUT, honker_worker_settle_next(b->worker, &given, 1, 0, 0, &jobs, ERR));
  CHECK(jobs == NULL);
  return given.status;
}

static bool queues_are(honker_jobs_t *jobs, const char *const *wanted, size_t wanted_len) {
  size_t len = 0;
  OK(honker_jobs_len(jobs, &len, ERR));
  bool same = len == wanted_len;
  for (size_t i = 0; same && i < len; i++) {
    honker_job_view_t job = HONKER_JOB_VIEW_INIT;
    OK(honker_jobs_get(jobs, i, &job, ERR));
    same = bytes_are(job.queue, wanted[i]);
  }
  return same;
}

static void one_claim_fills_what_is_free_from_all_queues(void) {
  honker_worker_queue_t queues[] = {queue_of("a", 0, 2), queue_of("b", 0, -1), queue_of("c", 0, 0)};
  honker_worker_opts_t opts = options();
  bench_t b = bench_with(queues, 3, &opts);
  for (int i = 0; i < 3; i++) {
    add(&b, "a");
    add(&b, "b");
    add(&b, "c");
  }
  honker_jobs_t *jobs = NULL;
  honker_job_view_t job = HONKER_JOB_VIEW_INIT;
  OK(honker_worker_next(b.worker, 4, 0, &jobs, ERR));
  CHECK(queues_are(jobs, (const char *const[]){"a", "a", "b", "b"}, 4));
  OK(honker_jobs_get(jobs, 0, &job, ERR));
  honker_jobs_free(jobs);
  OK(honker_worker_next(b.worker, 4, 0, &jobs, ERR));
  CHECK(queues_are(jobs, (const char *const[]){"b"}, 1));
  honker_jobs_free(jobs);
  /* There are jobs, and no room for them until one is settled. */
  EXPECT(HONKER_TIMEOUT, honker_worker_next(b.worker, 4, 0, &jobs, ERR));
  honker_settlement_t done = {HONKER_SETTLE_ACK, -1, job.id, job.serial, 0, {NULL, 0}};
  OK(honker_worker_settle_next(b.worker, &done, 1, 4, 0, &jobs, ERR));
  CHECK(done.status == HONKER_OK && queues_are(jobs, (const char *const[]){"a"}, 1));
  honker_jobs_free(jobs);
  bench_free(&b);
}

/* Whether the worker is named. */
static bool is_named(bench_t *b) {
  uint64_t token = 0;
  size_t count = 0;
  OK(honker_waiter_ready(b->waiter, &token, 1, &count, ERR));
  CHECK(count == 0 || token == 1);
  return count == 1;
}

/* One call settles a job and claims the next; then there is nothing to ask until something becomes
 * of that one. */
static void one_call_for_each_job_is_enough(void) {
  enum { JOBS = 20 };
  honker_worker_opts_t opts = options();
  bench_t b = bench_on("q", &opts);
  honker_settlement_t given = {HONKER_SETTLE_ACK, 0, 0, 0, 0, {NULL, 0}};
  honker_job_view_t job = HONKER_JOB_VIEW_INIT;
  for (int i = 0; i < JOBS; i++) add(&b, "q");
  CHECK(is_named(&b));
  for (int i = 0; i < JOBS; i++) {
    honker_jobs_t *jobs = NULL;
    OK(honker_worker_settle_next(b.worker, &given, i > 0, 1, 0, &jobs, ERR));
    CHECK(i == 0 || given.status == HONKER_OK);
    job = only_job(jobs);
    given.id = job.id;
    given.serial = job.serial;
    /* It has no room for what comes, and what it has done itself is no news. */
    CHECK(!is_named(&b));
  }
  add(&b, "q");
  CHECK(!is_named(&b));
  OK(honker_cancel(b.db, NULL, job.id, ERR));
  CHECK(is_named(&b));
  CHECK(next_lost(&b).serial == job.serial);
  bench_free(&b);
}

/* Nine times out of ten the heavy one is asked first: all of 200 alike is as good as impossible. */
static void weights_draw_the_queue_that_is_asked_first(void) {
  honker_worker_queue_t queues[] = {queue_of("last", 0, -1), queue_of("light", 1, -1),
                                    queue_of("heavy", 9, -1)};
  honker_worker_opts_t opts = options();
  bench_t b = bench_with(queues, 3, &opts);
  add(&b, "last");
  int heavy = 0, light = 0;
  for (int i = 0; i < 200; i++) {
    int64_t ids[] = {add(&b, "heavy"), add(&b, "light")};
    honker_job_view_t job = next_job(&b);
    CHECK(job.id == ids[0] || job.id == ids[1]);
    heavy += job.id == ids[0];
    light += job.id == ids[1];
    CHECK(settles(&b, &job, HONKER_SETTLE_ACK, 0) == HONKER_OK);
    OK(honker_cancel(b.db, NULL, ids[job.id == ids[0]], ERR));
  }
  CHECK(light > 0 && heavy > 2 * light);
  next_job(&b);
  CHECK(idle(&b));
  bench_free(&b);
}

static void queues_and_options_are_checked(void) {
  bench_t b = bench_on("q", NULL);
  honker_worker_t *worker = NULL;
  honker_worker_queue_t queues[] = {queue_of("a", 1, -1), queue_of("b", 1, -1)};
  const uint8_t *id = (const uint8_t *)"w";
#define REFUSED(status, queues, len, opts, part)                                                \
  EXPECT(status, honker_worker_new(b.db, b.waiter, 1, queues, len, id, 1, opts, &worker, ERR)); \
  CHECK(worker == NULL && contains(check_message(), part))
  REFUSED(HONKER_INVALID, NULL, 0, NULL, "at least one");
  REFUSED(HONKER_NULL_ARG, NULL, 2, NULL, "queues");
  REFUSED(HONKER_INVALID, queues, SIZE_MAX, NULL, "queues");
  queues[1].name = queues[0].name;
  REFUSED(HONKER_INVALID, queues, 2, NULL, "'a' is named twice");
  queues[1] = queue_of("b", -1, -1);
  REFUSED(HONKER_INVALID, queues, 2, NULL, "weight of 'b'");
  queues[1] = queue_of("b", INT64_MAX, -1);
  REFUSED(HONKER_INVALID, queues, 2, NULL, "weight of 'b'");
  queues[1] = queue_of("b", 1, -2);
  REFUSED(HONKER_INVALID, queues, 2, NULL, "in_hand_max of 'b'");
  queues[1] = queue_of("\xff", 1, -1);
  REFUSED(HONKER_UTF8, queues, 2, NULL, "queues");
  queues[1] = queue_of("b", 1, -1);
  queues[1].struct_size -= 8;
  REFUSED(HONKER_INVALID, queues, 2, NULL, "struct_size");
  queues[1].struct_size += 8;
  queues[1].reserved = 1;
  REFUSED(HONKER_UNSUPPORTED, queues, 2, NULL, "queues");
  queues[1].reserved = 0;
  queues[0].struct_size = 4;
  REFUSED(HONKER_INVALID, queues, 2, NULL, "struct_size");
  queues[0] = queue_of("a", 1, -1);

#define REFUSED_OPTION(field, value)                   \
  do {                                                 \
    honker_worker_opts_t opts = options();             \
    opts.field = value;                                \
    REFUSED(HONKER_INVALID, queues, 2, &opts, #field); \
  } while (0)
  REFUSED_OPTION(fallback_ms, 0);
  REFUSED_OPTION(max_run_s, 0);
  REFUSED_OPTION(heartbeat, 2);
  REFUSED_OPTION(rescue, 2);
  REFUSED_OPTION(retry_factor, 0.5);
  REFUSED_OPTION(retry_jitter, 1.5);

  /* Queues of a caller whose structs are longer, or shorter, somewhere in memory. */
  unsigned char memory[2 * 64 + 1];
  for (uint32_t size = 24; size <= 56; size += 8) {
    memset(memory, 0, sizeof memory);
    for (size_t i = 0; i < 2; i++) {
      honker_worker_queue_t queue = queue_of(i == 0 ? "s" : "t", 0, 1);
      queue.struct_size = size;
      memcpy(memory + 1 + i * size, &queue, size < sizeof queue ? size : sizeof queue);
    }
    OK(honker_worker_new(b.db, b.waiter, 2, (const honker_worker_queue_t *)(void *)(memory + 1), 2,
                         id, 1, NULL, &worker, ERR));
    honker_jobs_t *jobs = NULL;
    int64_t ids[] = {add(&b, "s"), add(&b, "s"), add(&b, "t")};
    OK(honker_worker_next(worker, 9, 0, &jobs, ERR));
    size_t len = 0;
    OK(honker_jobs_len(jobs, &len, ERR));
    /* One of each where in_hand_max is known, which stands at the end. */
    CHECK(len == (size >= sizeof queues[0] ? 2 : 3));
    honker_jobs_free(jobs);
    honker_worker_free(worker);
    for (int i = 0; i < 3; i++) OK(honker_cancel(b.db, NULL, ids[i], ERR));
  }
  bench_free(&b);
}

static void every_loss_is_told_once_with_its_reason(void) {
  honker_worker_opts_t opts = options();
  bench_t b = bench_on("q", &opts);
  static const struct {
    const char *how;
    uint32_t reason;
  } losses[] = {
      {"DELETE FROM _honker_live", HONKER_LOST_GONE},
      {"UPDATE _honker_live SET claim_expires_at = 1", HONKER_LOST_LAPSED},
      {"UPDATE _honker_live SET worker_id = 'other', attempts = 2", HONKER_LOST_TAKEN},
  };
  for (size_t i = 0; i < sizeof losses / sizeof losses[0]; i++) {
    add(&b, "q");
    honker_job_view_t job = next_job(&b);
    CHECK(job.serial != 0);
    execute(&b, losses[i].how);
    honker_lost_job_view_t lost = next_lost(&b);
    CHECK(lost.id == job.id && lost.serial == job.serial && lost.reason == losses[i].reason);
    CHECK(settles(&b, &job, HONKER_SETTLE_ACK, 0) == HONKER_LOST);
    EXPECT(HONKER_LOST, honker_worker_settled(b.worker, job.id, job.serial, ERR));
    execute(&b, "DELETE FROM _honker_live");
    CHECK(idle(&b));
  }
  bench_free(&b);
}

static void a_job_that_comes_back_has_another_serial(void) {
  honker_worker_opts_t opts = options();
  bench_t b = bench_on("q", &opts);
  add(&b, "q");
  honker_job_view_t first = next_job(&b), second = HONKER_JOB_VIEW_INIT;
  CHECK(settles(&b, &first, HONKER_SETTLE_RETRY, 0) == HONKER_OK);
  second = next_job(&b);
  CHECK(second.id == first.id && second.serial != first.serial && second.attempts == 2);
  CHECK(settles(&b, &first, HONKER_SETTLE_FAIL, 0) == HONKER_LOST);
  CHECK(settles(&b, &second, HONKER_SETTLE_ACK, 0) == HONKER_OK);
  CHECK(integer_of(b.db, "SELECT count(*) FROM _honker_dead") == 0);
  bench_free(&b);
}

/* By the worker's own delay if no other is given; the last time it is dead. */
static void a_job_that_runs_too_long_is_lost(void) {
  honker_worker_opts_t opts = options();
  opts.max_run_s = 1;
  opts.retry_base_s = 0;
  bench_t b = bench_on("q", &opts);
  add(&b, "q");
  for (int attempt = 1; attempt <= 3; attempt++) {
    honker_job_view_t job = next_job(&b);
    CHECK(job.attempts == attempt && job.max_attempts == 3);
    honker_lost_job_view_t lost = next_lost(&b);
    CHECK(lost.reason == HONKER_LOST_TIMEOUT && lost.serial == job.serial);
  }
  CHECK(integer_of(b.db, "SELECT last_error = 'timeout after 1 s' FROM _honker_dead") == 1);
  bench_free(&b);
}

static void a_retry_waits_as_the_options_say(void) {
  honker_worker_opts_t opts = options();
  opts.retry_base_s = 100;
  opts.retry_max_s = 250;
  opts.retry_factor = 2.0;
  opts.retry_jitter = 0.0;
  bench_t b = bench_on("q", &opts);
  add(&b, "q");
  execute(&b, "UPDATE _honker_live SET max_attempts = 9");
  static const int64_t delays_s[] = {100, 200, 250, 250};
  for (size_t i = 0; i < sizeof delays_s / sizeof delays_s[0]; i++) {
    honker_job_view_t job = next_job(&b);
    int64_t before = integer_of(b.db, "SELECT unixepoch()");
    CHECK(settles(&b, &job, HONKER_SETTLE_RETRY, HONKER_NO_TIME) == HONKER_OK);
    int64_t run_at = integer_of(b.db, "SELECT run_at FROM _honker_live");
    CHECK(run_at >= before + delays_s[i]);
    CHECK(run_at <= integer_of(b.db, "SELECT unixepoch()") + delays_s[i]);
    execute(&b, "UPDATE _honker_live SET run_at = 1");
  }
  bench_free(&b);
}

static void what_goes_back_has_its_attempt_again(void) {
  honker_worker_opts_t opts = options();
  opts.rescue = 0; /* it settles as "w" */
  bench_t b = bench_on("q", &opts);
  int64_t id = add(&b, "q");
  static const char back[] =
      "SELECT state = 'pending' AND attempts = 0 AND worker_id IS NULL AND run_at > unixepoch() + "
      "50 "
      "FROM _honker_live";
  honker_job_view_t job = next_job(&b);
  CHECK(settles(&b, &job, HONKER_SETTLE_RELEASE, 0) == HONKER_OK);
  job = next_job(&b);
  CHECK(job.attempts == 1);
  CHECK(settles(&b, &job, HONKER_SETTLE_SNOOZE, 60) == HONKER_OK);
  CHECK(integer_of(b.db, back) == 1);
  execute(&b, "UPDATE _honker_live SET run_at = 1");

  /* The same as an operation: of the worker's own job, in a transaction, and of nobody else's. */
  job = next_job(&b);
  honker_tx_t *tx = NULL;
  OK(honker_tx_begin(b.db, &tx, ERR));
  EXPECT(HONKER_LOST, honker_release(b.db, tx, id, T("other"), 60, ERR));
  EXPECT(HONKER_INVALID, honker_release(b.db, tx, id, T("w"), INT64_MAX, ERR));
  OK(honker_release(b.db, tx, id, T("w"), 60, ERR));
  OK(honker_tx_commit(tx, ERR));
  honker_tx_free(tx);
  CHECK(integer_of(b.db, back) == 1 && idle(&b));
  CHECK(settles(&b, &job, HONKER_SETTLE_ACK, 0) == HONKER_LOST);
  EXPECT(HONKER_LOST, honker_release(b.db, NULL, id, T("w"), 60, ERR));
  bench_free(&b);
}

static void what_a_handler_settles_itself_is_no_loss(void) {
  honker_worker_opts_t opts = options();
  opts.rescue = 0; /* it settles as "w" */
  bench_t b = bench_on("q", &opts);
  int64_t acked = 0;
  for (int how = 0; how < 5; how++) {
    int64_t id = add(&b, "q");
    honker_job_view_t job = next_job(&b);
    if (how == 0) OK(honker_ack(b.db, NULL, id, T("w"), ERR));
    if (how == 1) OK(honker_retry(b.db, NULL, id, T("w"), 600, T("later"), ERR));
    if (how == 2) OK(honker_fail(b.db, NULL, id, T("w"), T("never"), ERR));
    if (how == 3) OK(honker_ack_batch(b.db, NULL, &id, 1, T("w"), &acked, ERR));
    if (how == 4) {
      /* Through another connection: only the caller can know. */
      execute(&b, "DELETE FROM _honker_live WHERE state = 'processing'");
      OK(honker_worker_settled(b.worker, id, job.serial, ERR));
      EXPECT(HONKER_LOST, honker_worker_settled(b.worker, id, job.serial, ERR));
    }
    CHECK(idle(&b));
    CHECK(settles(&b, &job, HONKER_SETTLE_ACK, 0) == HONKER_LOST);
  }
  bench_free(&b);
}

static void claims_in_hand_are_prolonged_unless_that_is_switched_off(void) {
  for (uint32_t heartbeat = 0; heartbeat < 2; heartbeat++) {
    honker_worker_opts_t opts = options();
    opts.heartbeat = heartbeat;
    opts.visibility_timeout_s = heartbeat ? 6 : 0; /* it is prolonged every two seconds */
    bench_t b = bench_on("q", &opts);
    add(&b, "q");
    honker_job_view_t job = next_job(&b);
    if (heartbeat) {
      honker_jobs_t *jobs = NULL;
      while (integer_of(b.db, "SELECT claim_expires_at FROM _honker_live") <=
             job.claim_expires_at + 1)
        EXPECT(HONKER_TIMEOUT, honker_worker_next(b.worker, 0, 200, &jobs, ERR));
      CHECK(integer_of(b.db, "SELECT attempts FROM _honker_live WHERE worker_id LIKE 'w@%'") == 1);
      CHECK(settles(&b, &job, HONKER_SETTLE_ACK, 0) == HONKER_OK);
    } else {
      CHECK(next_lost(&b).reason == HONKER_LOST_LAPSED);
    }
    bench_free(&b);
    CHECK(remove(path_of("a.db")) == 0);
  }
}

/* Whatever is wrong with a call, no settlement of it seems to be done. */
static void a_refused_call_says_so_of_every_settlement(void) {
  bench_t b = bench_on("q", NULL);
  add(&b, "q");
  add(&b, "q");
  honker_jobs_t *jobs = NULL;
  honker_job_view_t job = next_job(&b), other = next_job(&b);
  honker_settlement_t given[] = {{HONKER_SETTLE_ACK, 0, job.id, job.serial, 0, {NULL, 0}},
                                 {9, 0, other.id, other.serial, 0, {NULL, 0}}};
#define REFUSED_WITH(wanted, call)               \
  given[0].status = given[1].status = HONKER_OK; \
  EXPECT(wanted, call);                          \
  CHECK(given[0].status == (wanted) && given[1].status == (wanted) && jobs == NULL)
  REFUSED_WITH(HONKER_INVALID, honker_worker_settle_next(b.worker, given, 2, 1, 0, &jobs, ERR));
  given[1].kind = HONKER_SETTLE_FAIL;
  given[1].error = (honker_bytes_t){T("\xff")};
  REFUSED_WITH(HONKER_UTF8, honker_worker_settle_next(b.worker, given, 2, 1, 0, &jobs, ERR));
  given[1].error = (honker_bytes_t){T("why")};
  REFUSED_WITH(HONKER_INVALID, honker_worker_settle_next(b.worker, given, 2, 1, -2, &jobs, ERR));
  REFUSED_WITH(HONKER_MISUSE, honker_worker_settle_next(NULL, given, 2, 1, 0, &jobs, ERR));
  REFUSED_WITH(HONKER_NULL_ARG, honker_worker_settle_next(b.worker, given, 2, 1, 0, NULL, ERR));
  given[1].kind = HONKER_SETTLE_SNOOZE;
  given[1].delay_s = 60;
  EXPECT(HONKER_TIMEOUT, honker_worker_settle_next(b.worker, given, 2, 1, 0, &jobs, ERR));
  CHECK(given[0].status == HONKER_OK && given[1].status == HONKER_OK);
  bench_free(&b);
}

/* Those that the file takes are committed, and the call says what it refuses, without waiting. */
static void a_refused_settlement_is_told_by_its_status(void) {
  bench_t b = bench_on("q", NULL);
  honker_settlement_t given[4];
  honker_job_view_t job[4];
  for (int i = 0; i < 4; i++) {
    add(&b, "q");
    job[i] = next_job(&b);
    given[i] =
        (honker_settlement_t){HONKER_SETTLE_ACK, -99, job[i].id, job[i].serial, 0, {T("why")}};
  }
  execute(&b,
          "CREATE TRIGGER no BEFORE DELETE ON _honker_live WHEN old.id = 2 BEGIN "
          "SELECT RAISE(ABORT, 'not that one'); END");
  given[2].kind = HONKER_SETTLE_SNOOZE;
  given[2].delay_s = INT64_MAX - 1;
  honker_jobs_t *jobs = NULL;
  honker_error_t *refused = NULL;
  size_t len = 9;
  CHECK(honker_worker_settle_next(b.worker, given, 4, 1, -1, &jobs, &refused) == HONKER_OK);
  CHECK(given[0].status == HONKER_OK && given[1].status == HONKER_CONSTRAINT);
  CHECK(given[2].status == HONKER_INVALID && given[3].status == HONKER_OK);
  OK(honker_jobs_len(jobs, &len, ERR));
  CHECK(len == 0);
  honker_jobs_free(jobs);
  CHECK(honker_error_status(refused) == HONKER_CONSTRAINT);
  CHECK(honker_error_sqlite_code(refused) == 19);
  const char *message = honker_error_message(refused, NULL);
  CHECK(contains(message, "job 2 was refused: not that one; ") && contains(message, "job 3 was"));
  honker_error_free(refused);
  CHECK(integer_of(b.db, "SELECT count(*) FROM _honker_live WHERE state = 'processing'") == 2);

  /* Nobody who does not ask is left with an error to free. */
  CHECK(honker_worker_settle_next(b.worker, given + 1, 1, 0, -1, &jobs, NULL) == HONKER_OK);
  CHECK(given[1].status == HONKER_CONSTRAINT);
  honker_jobs_free(jobs);

  /* They are still in hand: one is settled otherwise, one is given up. */
  CHECK(settles(&b, &job[1], HONKER_SETTLE_RELEASE, 0) == HONKER_OK);
  OK(honker_worker_settled(b.worker, job[2].id, job[2].serial, ERR));
  CHECK(settles(&b, &job[2], HONKER_SETTLE_ACK, 0) == HONKER_LOST);
  bench_free(&b);
}

static void a_worker_claims_as_an_instance_if_it_is_to_be_rescued(void) {
  for (uint32_t rescue = 0; rescue < 2; rescue++) {
    honker_worker_opts_t opts = options();
    opts.rescue = rescue;
    bench_t b = bench_on("q", &opts);
    add(&b, "q");
    honker_job_view_t job = next_job(&b);
    CHECK(integer_of(b.db, rescue ? "SELECT worker_id GLOB 'w@*' AND length(worker_id) = 34 FROM "
                                    "_honker_live"
                                  : "SELECT worker_id = 'w' FROM _honker_live") == 1);
    CHECK(integer_of(b.db, "SELECT count(*) FROM _honker_instances") == rescue);
    CHECK(settles(&b, &job, HONKER_SETTLE_ACK, 0) == HONKER_OK);
    bench_free(&b);
    CHECK(remove(path_of("a.db")) == 0);
  }
}

static void what_a_freed_worker_has_stays_claimed(void) {
  bench_t b = bench_on("q", NULL);
  add(&b, "q");
  next_job(&b);
  honker_worker_free(b.worker);
  CHECK(integer_of(b.db, "SELECT count(*) FROM _honker_live WHERE worker_id LIKE 'w@%'") == 1);
  bench_free(&b);
}

const test_t worker_tests[] = {
    {"one_claim_fills_what_is_free_from_all_queues", one_claim_fills_what_is_free_from_all_queues},
    {"one_call_for_each_job_is_enough", one_call_for_each_job_is_enough},
    {"weights_draw_the_queue_that_is_asked_first", weights_draw_the_queue_that_is_asked_first},
    {"queues_and_options_are_checked", queues_and_options_are_checked},
    {"every_loss_is_told_once_with_its_reason", every_loss_is_told_once_with_its_reason},
    {"a_job_that_comes_back_has_another_serial", a_job_that_comes_back_has_another_serial},
    {"a_job_that_runs_too_long_is_lost", a_job_that_runs_too_long_is_lost},
    {"a_retry_waits_as_the_options_say", a_retry_waits_as_the_options_say},
    {"what_goes_back_has_its_attempt_again", what_goes_back_has_its_attempt_again},
    {"what_a_handler_settles_itself_is_no_loss", what_a_handler_settles_itself_is_no_loss},
    {"claims_in_hand_are_prolonged_unless_that_is_switched_off",
     claims_in_hand_are_prolonged_unless_that_is_switched_off},
    {"a_refused_call_says_so_of_every_settlement", a_refused_call_says_so_of_every_settlement},
    {"a_refused_settlement_is_told_by_its_status", a_refused_settlement_is_told_by_its_status},
    {"a_worker_claims_as_an_instance_if_it_is_to_be_rescued",
     a_worker_claims_as_an_instance_if_it_is_to_be_rescued},
    {"what_a_freed_worker_has_stays_claimed", what_a_freed_worker_has_stays_claimed},
    {NULL, NULL},
};
