/* Unique jobs, and the options of the jobs of schedules. What the keys mean is tested in SQL; here,
 * that the options arrive and that the statuses are told. */
#include <stdlib.h>
#include <time.h>

#include "check.h"

static honker_enqueue_opts_t keyed(const char *key) {
  honker_enqueue_opts_t opts = HONKER_ENQUEUE_OPTS_INIT;
  opts.unique_key = (honker_bytes_t){S(key)};
  return opts;
}

static honker_status_t put(honker_db_t *db, honker_tx_t *tx, const honker_enqueue_opts_t *opts,
                           int64_t *id) {
  return honker_enqueue(db, tx, T("q"), T("x"), opts, id, ERR);
}

/* Claims the one job that is to be had; its id. */
static int64_t take(honker_db_t *db) {
  honker_jobs_t *jobs = NULL;
  honker_job_view_t job = HONKER_JOB_VIEW_INIT;
  OK(honker_claim(db, NULL, T("q"), T("w"), 1, 60, &jobs, ERR));
  OK(honker_jobs_get(jobs, 0, &job, ERR));
  honker_jobs_free(jobs);
  return job.id;
}

static void a_key_is_kept_or_replaced(void) {
  honker_db_t *db = open_db("a.db");
  honker_enqueue_opts_t opts = keyed("k");
  int64_t first = 0, id = 0;
  OK(put(db, NULL, &opts, &first));
  EXPECT(HONKER_EXISTS, put(db, NULL, &opts, &id));
  CHECK(id == first);
  opts.on_conflict = HONKER_CONFLICT_REPLACE;
  opts.priority = 7;
  opts.max_run_s = 9;
  EXPECT(HONKER_REPLACED, put(db, NULL, &opts, &id));
  CHECK(id == first);
  CHECK(integer_of(db, "SELECT priority FROM _honker_live") == 7);
  CHECK(integer_of(db, "SELECT max_run_s FROM _honker_job_options") == 9);
  CHECK(take(db) == first);
  EXPECT(HONKER_EXISTS, put(db, NULL, &opts, &id));
  OK(honker_ack(db, NULL, first, T("w"), ERR));
  OK(put(db, NULL, &opts, &id));
  CHECK(id > first);

  /* In a transaction, which is rolled back. */
  honker_enqueue_opts_t other = keyed("l");
  honker_tx_t *tx = NULL;
  OK(honker_tx_begin(db, &tx, ERR));
  OK(put(db, tx, &other, &id));
  EXPECT(HONKER_EXISTS, put(db, tx, &other, &id));
  OK(honker_tx_rollback(tx, ERR));
  OK(put(db, NULL, &other, &id));

  /* Several at once, each with its status. */
  honker_enqueue_opts_t third = keyed("m");
  honker_job_spec_t specs[3];
  honker_enqueue_result_t results[3];
  for (size_t i = 0; i < 3; i++) {
    specs[i] = (honker_job_spec_t)HONKER_JOB_SPEC_INIT;
    specs[i].queue = (honker_bytes_t){T("q")};
    specs[i].payload = (honker_bytes_t){T("x")};
    specs[i].opts = i == 2 ? &opts : &third;
  }
  OK(honker_enqueue_many(db, NULL, specs, 3, results, ERR));
  CHECK(results[0].status == HONKER_OK && results[1].status == HONKER_EXISTS);
  CHECK(results[0].id == results[1].id && results[2].status == HONKER_REPLACED);
  OK(honker_close(db, ERR));
}

static void a_key_can_be_had_until_the_claim_and_for_some_seconds(void) {
  honker_db_t *db = open_db("a.db");
  honker_enqueue_opts_t opts = keyed("k"), seconds = keyed("s");
  int64_t first = 0, second = 0, id = 0;
  opts.unique_until = HONKER_UNIQUE_CLAIMED;
  OK(put(db, NULL, &opts, &first));
  EXPECT(HONKER_EXISTS, put(db, NULL, &opts, &id));
  CHECK(take(db) == first);
  OK(put(db, NULL, &opts, &second));
  OK(honker_cancel(db, NULL, second, ERR));

  seconds.unique_for_s = 1000;
  OK(put(db, NULL, &seconds, &second));
  OK(honker_cancel(db, NULL, second, ERR));
  EXPECT(HONKER_EXISTS, put(db, NULL, &seconds, &id));
  CHECK(id == second);
  OK(honker_close(db, ERR));
}

static void a_dead_job_whose_key_is_taken_stays_dead(void) {
  honker_db_t *db = open_db("a.db");
  honker_enqueue_opts_t opts = keyed("k");
  int64_t first = 0, second = 0;
  OK(put(db, NULL, &opts, &first));
  CHECK(take(db) == first);
  OK(honker_fail(db, NULL, first, T("w"), T("never"), ERR));
  OK(put(db, NULL, &opts, &second));
  EXPECT(HONKER_EXISTS, honker_dead_requeue(db, NULL, first, ERR));
  OK(honker_cancel(db, NULL, second, ERR));
  OK(honker_dead_requeue(db, NULL, first, ERR));
  EXPECT(HONKER_EMPTY, honker_dead_requeue(db, NULL, first, ERR));
  OK(honker_close(db, ERR));
}

static void options_that_cannot_be_are_refused(void) {
  honker_db_t *db = open_db("a.db");
  honker_enqueue_opts_t wrong[8];
  static const char *const says[8] = {"unique_until 2",    "on_conflict 2", "unique_for_s must be",
                                      "unique_key",        "unique_key",    "unique_key",
                                      "max_run_s must be", "batch_id"};
  for (size_t i = 0; i < 8; i++) {
    wrong[i] = i < 3 ? keyed("k") : (honker_enqueue_opts_t)HONKER_ENQUEUE_OPTS_INIT;
  }
  wrong[0].unique_until = 2;
  wrong[1].on_conflict = 2;
  wrong[2].unique_for_s = -1;
  wrong[3].unique_for_s = 1;
  wrong[4].unique_until = HONKER_UNIQUE_CLAIMED;
  wrong[5].on_conflict = HONKER_CONFLICT_REPLACE;
  wrong[6].max_run_s = -1;
  wrong[7].member_worker_id = (honker_bytes_t){T("w")};
  for (size_t i = 0; i < 8; i++) {
    int64_t id = 9;
    EXPECT(HONKER_INVALID, put(db, NULL, &wrong[i], &id));
    CHECK(contains(check_message(), says[i]) && id == 0);
  }
  wrong[0] = keyed("\xff");
  int64_t id = 0;
  EXPECT(HONKER_UTF8, put(db, NULL, &wrong[0], &id));
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live") == 0);
  OK(honker_close(db, ERR));
}

static void a_schedule_skips_and_says_so(void) {
  honker_db_t *db = open_db("a.db");
  honker_schedule_opts_t opts = HONKER_SCHEDULE_OPTS_INIT;
  honker_enqueue_opts_t job = keyed("k");
  int64_t at = 0;
  opts.overlap = HONKER_OVERLAP_SKIP;
  opts.priority = 3;
  opts.job = &job;
  job.metadata = (honker_bytes_t){T("{\"a\":\"b\"}")};
  OK(honker_scheduler_register(db, NULL, T("s"), T("q"), T("@every 5s"), T("p"), &opts, ERR));
  OK(honker_scheduler_soonest(db, NULL, &at, ERR));
  honker_fires_t *fires = NULL;
  honker_fire_view_t fire = HONKER_FIRE_VIEW_INIT;
  OK(honker_scheduler_tick(db, NULL, at + 5, &fires, ERR));
  OK(honker_fires_get(fires, 0, &fire, ERR));
  CHECK(fire.status == HONKER_OK && fire.job_id == 1);
  OK(honker_fires_get(fires, 1, &fire, ERR));
  CHECK(fire.status == HONKER_EMPTY && fire.job_id == 0 && fire.fire_at == at + 5);
  honker_fires_free(fires);
  CHECK(integer_of(db, "SELECT priority FROM _honker_live") == 3);
  CHECK(integer_of(db, "SELECT metadata = '{\"a\":\"b\"}' FROM _honker_job_options") == 1);

  /* Without the overlap it meets its own key. */
  opts.overlap = HONKER_OVERLAP_ALLOW;
  OK(honker_scheduler_register(db, NULL, T("s"), T("q"), T("@every 5s"), T("p"), &opts, ERR));
  OK(honker_scheduler_tick(db, NULL, at + 10, &fires, ERR));
  OK(honker_fires_get(fires, 0, &fire, ERR));
  CHECK(fire.status == HONKER_EXISTS && fire.job_id == 1);
  honker_fires_free(fires);

  opts.overlap = 2;
  EXPECT(HONKER_INVALID,
         honker_scheduler_register(db, NULL, T("s"), T("q"), T("@daily"), T("p"), &opts, ERR));
  CHECK(contains(check_message(), "overlap 2"));
  opts.overlap = 0;
  job.priority = 1;
  EXPECT(HONKER_INVALID,
         honker_scheduler_register(db, NULL, T("s"), T("q"), T("@daily"), T("p"), &opts, ERR));
  CHECK(contains(check_message(), "priority"));
  job.priority = 0;
  job.run_at = 5;
  EXPECT(HONKER_INVALID,
         honker_scheduler_register(db, NULL, T("s"), T("q"), T("@daily"), T("p"), &opts, ERR));
  CHECK(contains(check_message(), "run_at"));
  job = (honker_enqueue_opts_t)HONKER_ENQUEUE_OPTS_INIT;
  job.metadata = (honker_bytes_t){T("no JSON")};
  EXPECT(HONKER_INVALID,
         honker_scheduler_register(db, NULL, T("s"), T("q"), T("@daily"), T("p"), &opts, ERR));
  CHECK(contains(check_message(), "metadata"));
  OK(honker_close(db, ERR));
}

const test_t unique_tests[] = {
    {"a_key_is_kept_or_replaced", a_key_is_kept_or_replaced},
    {"a_key_can_be_had_until_the_claim_and_for_some_seconds",
     a_key_can_be_had_until_the_claim_and_for_some_seconds},
    {"a_dead_job_whose_key_is_taken_stays_dead", a_dead_job_whose_key_is_taken_stays_dead},
    {"options_that_cannot_be_are_refused", options_that_cannot_be_are_refused},
    {"a_schedule_skips_and_says_so", a_schedule_skips_and_says_so},
    {NULL, NULL},
};
