/* Settings of queues, and what is kept of topics and notifications. */
#include <stdlib.h>

#include "check.h"

static void configure(honker_db_t *db, const char *settings) {
  OK(honker_queue_configure(db, NULL, T("q"), S(settings), ERR));
}

static void settings_contain(honker_db_t *db, const char *part) {
  honker_text_t *json = NULL;
  OK(honker_queue_settings(db, NULL, T("q"), &json, ERR));
  char *text = text_of(json);
  if (!contains(text, part)) fprintf(stderr, "%s\n", text);
  CHECK(contains(text, part));
  free(text);
}

static int64_t enqueue(honker_db_t *db, const char *key) {
  honker_enqueue_opts_t opts = HONKER_ENQUEUE_OPTS_INIT;
  opts.concurrency_key = (honker_bytes_t){S(key)};
  int64_t id = 0;
  OK(honker_enqueue(db, NULL, T("q"), T("p"), &opts, &id, ERR));
  return id;
}

/* How many jobs a claim of all that there are gets. */
static size_t claim_all(honker_db_t *db) {
  honker_jobs_t *jobs = NULL;
  size_t len = 0;
  if (honker_claim(db, NULL, T("q"), T("w"), -1, 60, &jobs, NULL) == HONKER_EMPTY) return 0;
  OK(honker_jobs_len(jobs, &len, ERR));
  honker_jobs_free(jobs);
  return len;
}

static void settings_are_set_and_told(void) {
  honker_db_t *db = open_db("a.db");
  settings_contain(db, "\"paused\":false,\"concurrency\":null,");
  configure(db, "{\"concurrency\":2,\"rate\":{\"limit\":5,\"per_s\":3600}}");
  configure(db, "{\"concurrency\":null,\"max_attempts\":9}");
  settings_contain(db, "\"concurrency\":null,");
  settings_contain(db, "\"rate\":{\"limit\":5,\"per_s\":3600},\"max_attempts\":9,");
  EXPECT(HONKER_INVALID, honker_queue_configure(db, NULL, T("q"), T("{\"colour\":1}"), ERR));
  CHECK(contains(check_message(), "unknown key 'colour'"));
  EXPECT(HONKER_INVALID, honker_queue_configure(db, NULL, T("q"), T("{\"paused\":1}"), ERR));
  CHECK(contains(check_message(), "paused"));

  /* In a transaction, and undone with it. */
  honker_tx_t *tx = NULL;
  OK(honker_tx_begin(db, &tx, ERR));
  OK(honker_queue_configure(db, tx, T("r"), T("{\"paused\":true}"), ERR));
  honker_text_t *json = NULL;
  OK(honker_queues(db, tx, &json, ERR));
  char *text = text_of(json);
  CHECK(contains(text, "[{\"queue\":\"q\",") &&
        contains(text, "{\"queue\":\"r\",\"paused\":true,"));
  free(text);
  OK(honker_tx_rollback(tx, ERR));
  honker_tx_free(tx);
  OK(honker_queues(db, NULL, &json, ERR));
  text = text_of(json);
  CHECK(contains(text, "\"q\"") && !contains(text, "\"r\""));
  free(text);
  OK(honker_close(db, ERR));
}

static void limits_are_kept(void) {
  honker_db_t *db = open_db("a.db");
  configure(db, "{\"concurrency_per_key\":1}");
  int64_t first = enqueue(db, "a");
  enqueue(db, "a");
  enqueue(db, "b");
  CHECK(claim_all(db) == 2);
  CHECK(claim_all(db) == 0);
  OK(honker_ack(db, NULL, first, T("w"), ERR));
  configure(db, "{\"paused\":true}");
  CHECK(claim_all(db) == 0);
  configure(db, "{\"paused\":false,\"concurrency\":1}");
  CHECK(claim_all(db) == 0);
  configure(db, "{\"concurrency\":2}");
  CHECK(claim_all(db) == 1);
  OK(honker_close(db, ERR));
}

static void a_job_without_a_budget_has_that_of_its_queue(void) {
  honker_db_t *db = open_db("a.db");
  int64_t id = 0;
  OK(honker_enqueue(db, NULL, T("q"), T("p"), NULL, &id, ERR));
  configure(db, "{\"max_attempts\":9}");
  OK(honker_enqueue(db, NULL, T("q"), T("p"), NULL, &id, ERR));
  honker_enqueue_opts_t opts = HONKER_ENQUEUE_OPTS_INIT;
  CHECK(opts.max_attempts == HONKER_NO_TIME);
  OK(honker_enqueue(db, NULL, T("q"), T("p"), &opts, &id, ERR));
  opts.max_attempts = 2;
  OK(honker_enqueue(db, NULL, T("q"), T("p"), &opts, &id, ERR));
  CHECK(integer_of(db,
                   "SELECT sum(max_attempts * CASE id WHEN 1 THEN 1 WHEN 2 THEN 10 WHEN 3 THEN 100 "
                   "ELSE 1000 END) FROM _honker_live") == 3 + 90 + 900 + 2000);
  OK(honker_close(db, ERR));
}

static void events_are_trimmed(void) {
  honker_db_t *db = open_db("a.db");
  int64_t offset = 0, trimmed = 7;
  for (int i = 0; i < 5; i++)
    OK(honker_stream_publish(db, NULL, T("t"), NULL, 0, T("e"), &offset, ERR));
  OK(honker_stream_trim(db, NULL, T("t"), T("{}"), &trimmed, ERR));
  CHECK(trimmed == 0);
  OK(honker_stream_configure(db, NULL, T("t"), T("{\"keep_n\":3}"), ERR));
  OK(honker_stream_save_offset(db, NULL, T("c"), T("t"), 1, ERR));
  OK(honker_stream_trim(db, NULL, T("t"), T("{}"), &trimmed, ERR));
  CHECK(trimmed == 1);
  OK(honker_stream_trim(db, NULL, T("t"), T("{\"past_consumers\":true}"), &trimmed, ERR));
  CHECK(trimmed == 1);
  EXPECT(HONKER_INVALID, honker_stream_trim(db, NULL, T("t"), T("{\"keep_s\":0}"), &trimmed, ERR));
  CHECK(contains(check_message(), "keep_s"));
  EXPECT(HONKER_INVALID, honker_stream_configure(db, NULL, T("t"), T("[]"), ERR));
  OK(honker_notifications_configure(db, NULL, T("{\"keep_s\":60}"), ERR));
  EXPECT(HONKER_INVALID, honker_notifications_configure(db, NULL, T("{\"keep_s\":-1}"), ERR));
  CHECK(integer_of(db, "SELECT value FROM _honker_settings WHERE name = 'notifications.keep_s'") ==
        60);
  OK(honker_close(db, ERR));
}

const test_t settings_tests[] = {
    {"settings_are_set_and_told", settings_are_set_and_told},
    {"limits_are_kept", limits_are_kept},
    {"a_job_without_a_budget_has_that_of_its_queue", a_job_without_a_budget_has_that_of_its_queue},
    {"events_are_trimmed", events_are_trimmed},
    {NULL, NULL},
};
