/* Batches, steps, and jobs that are listed and acted on many at a time. */
#include <stdlib.h>

#include "check.h"

/* A text of the library's, which is freed, has this in it. */
static bool says(honker_text_t *text, const char *part) {
  char *copy = text_of(text);
  bool found = contains(copy, part);
  if (!found) fprintf(stderr, "%s has no %s\n", copy, part);
  free(copy);
  return found;
}

static bool batch_says(honker_db_t *db, int64_t id, const char *part) {
  honker_text_t *json = NULL;
  OK(honker_batch_get(db, NULL, id, &json, ERR));
  return says(json, part);
}

/* Enqueues a member; on behalf of `by`, which `w` holds, unless that is 0. */
static honker_status_t join(honker_db_t *db, int64_t batch, int64_t by, int64_t *id_out) {
  honker_enqueue_opts_t opts = HONKER_ENQUEUE_OPTS_INIT;
  opts.batch_id = batch;
  if (by != 0) {
    opts.member_job_id = by;
    opts.member_worker_id = (honker_bytes_t){T("w")};
  }
  honker_status_t status = honker_enqueue(db, NULL, T("q"), T("x"), &opts, id_out, NULL);
  return status;
}

static void claim_one(honker_db_t *db, const char *queue, const char *metadata) {
  honker_jobs_t *jobs = NULL;
  honker_job_view_t job = HONKER_JOB_VIEW_INIT;
  OK(honker_claim(db, NULL, S(queue), T("w"), 1, 60, &jobs, ERR));
  OK(honker_jobs_get(jobs, 0, &job, ERR));
  CHECK(job.metadata.len == strlen(metadata) &&
        (*metadata == 0 || bytes_are(job.metadata, metadata)));
  honker_jobs_free(jobs);
}

static void a_batch_from_create_to_its_callback(void) {
  honker_db_t *db = open_db("a.db");
  int64_t batch = 0, first = 0, second = 0;
  honker_text_t *json = NULL;
  EXPECT(HONKER_EMPTY, honker_batch_get(db, NULL, 1, &json, ERR));
  CHECK(json == NULL);
  EXPECT(HONKER_INVALID, honker_batch_seal(db, NULL, 1, ERR));
  CHECK(contains(check_message(), "no batch 1"));
  EXPECT(HONKER_INVALID, honker_batch_create(db, NULL, T("{\"on_end\":{}}"), &batch, ERR));
  CHECK(contains(check_message(), "'on_end'") && batch == 0);
  OK(honker_batch_create(db, NULL, T("{\"on_finished\":{\"queue\":\"f\",\"payload\":\"p\"}}"),
                         &batch, ERR));
  CHECK(batch == 1);
  CHECK(join(db, batch, 0, &first) == HONKER_OK);
  claim_one(db, "q", "");
  OK(honker_batch_seal(db, NULL, batch, ERR));
  EXPECT(HONKER_EMPTY, honker_batch_seal(db, NULL, batch, ERR));
  CHECK(join(db, batch, 0, &second) == HONKER_INVALID);
  CHECK(join(db, batch, first + 1, &second) == HONKER_INVALID);
  CHECK(join(db, batch, first, &second) == HONKER_OK);
  CHECK(batch_says(db, batch, "\"total\":2,\"pending\":2"));

  OK(honker_ack(db, NULL, first, T("w"), ERR));
  OK(honker_cancel(db, NULL, second, ERR));
  CHECK(
      batch_says(db, batch, "\"pending\":0,\"done\":1,\"dead\":0,\"cancelled\":1,\"sealed\":true"));
  claim_one(db, "f", "{\"batch_id\":\"1\"}");
  OK(honker_close(db, ERR));
}

static void a_batch_takes_part_in_a_transaction(void) {
  honker_db_t *db = open_db("a.db");
  honker_tx_t *tx = NULL;
  honker_text_t *json = NULL;
  int64_t batch = 0;
  OK(honker_tx_begin(db, &tx, ERR));
  OK(honker_batch_create(db, tx, T("{}"), &batch, ERR));
  OK(honker_batch_seal(db, tx, batch, ERR));
  OK(honker_batch_get(db, tx, batch, &json, ERR));
  CHECK(says(json, "\"total\":0"));
  EXPECT(HONKER_EMPTY, honker_batch_get(db, NULL, batch, &json, ERR));
  OK(honker_tx_rollback(tx, ERR));
  honker_tx_free(tx);
  EXPECT(HONKER_EMPTY, honker_batch_get(db, NULL, batch, &json, ERR));
  OK(honker_close(db, ERR));
}

static void a_step_is_saved_once_by_who_holds_the_job(void) {
  honker_db_t *db = open_db("a.db");
  honker_tx_t *tx = NULL;
  honker_text_t *value = NULL;
  int64_t id = 0;
  OK(honker_enqueue(db, NULL, T("q"), T("x"), NULL, &id, ERR));
  EXPECT(HONKER_LOST, honker_step_save(db, NULL, id, T("w"), T("a"), T("1"), &value, ERR));
  CHECK(value == NULL);
  claim_one(db, "q", "");
  EXPECT(HONKER_EMPTY, honker_step_get(db, NULL, id, T("a"), &value, ERR));
  EXPECT(HONKER_LOST, honker_step_save(db, NULL, id, T("v"), T("a"), T("1"), &value, ERR));
  OK(honker_tx_begin(db, &tx, ERR));
  OK(honker_step_save(db, tx, id, T("w"), T("a"), T("1"), &value, ERR));
  CHECK(says(value, "1"));
  OK(honker_tx_rollback(tx, ERR));
  honker_tx_free(tx);
  OK(honker_step_save(db, NULL, id, T("w"), T("a"), T("2"), &value, ERR));
  CHECK(says(value, "2"));
  OK(honker_step_save(db, NULL, id, T("w"), T("a"), T("3"), &value, ERR));
  CHECK(says(value, "2"));
  OK(honker_step_get(db, NULL, id, T("a"), &value, ERR));
  CHECK(says(value, "2"));
  OK(honker_ack(db, NULL, id, T("w"), ERR));
  EXPECT(HONKER_EMPTY, honker_step_get(db, NULL, id, T("a"), &value, ERR));
  EXPECT(HONKER_LOST, honker_step_save(db, NULL, id, T("w"), T("a"), T("3"), &value, ERR));
  OK(honker_close(db, ERR));
}

static void jobs_are_listed_and_acted_on(void) {
  honker_db_t *db = open_db("a.db");
  honker_text_t *json = NULL;
  honker_tx_t *tx = NULL;
  int64_t id = 0;
  for (int i = 0; i < 3; i++) OK(honker_enqueue(db, NULL, T("q"), T("x"), NULL, &id, ERR));
  OK(honker_job_list(db, NULL, T("{\"limit\":2}"), &json, ERR));
  CHECK(says(json, "\"cursor\":2}"));
  OK(honker_job_list(db, NULL, T("{\"limit\":2,\"cursor\":2}"), &json, ERR));
  CHECK(says(json, "\"cursor\":null}"));
  EXPECT(HONKER_INVALID, honker_job_list(db, NULL, T("{\"limit\":0}"), &json, ERR));
  CHECK(contains(check_message(), "limit") && json == NULL);
  EXPECT(HONKER_INVALID, honker_job_apply(db, NULL, T("{}"), T("bury"), &json, ERR));
  CHECK(contains(check_message(), "bury") && json == NULL);

  OK(honker_tx_begin(db, &tx, ERR));
  OK(honker_job_apply(db, tx, T("{}"), T("cancel"), &json, ERR));
  CHECK(says(json, "{\"changed\":3,\"conflicts\":0,\"left\":0,\"cursor\":null}"));
  OK(honker_tx_rollback(tx, ERR));
  honker_tx_free(tx);
  OK(honker_job_apply(db, NULL, T("{\"max_id\":2}"), T("{\"move\":\"r\"}"), &json, ERR));
  CHECK(says(json, "{\"changed\":2,"));
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live WHERE queue = 'r'") == 2);

  claim_one(db, "r", "");
  OK(honker_fail(db, NULL, 1, T("w"), T("order 17 is gone"), ERR));
  OK(honker_dead_groups(db, NULL, NULL, 0, &json, ERR));
  CHECK(says(json, "[{\"error\":\"order # is gone\",\"count\":1,\"newest\":{\"id\":1,"));
  OK(honker_dead_groups(db, NULL, T("q"), &json, ERR));
  CHECK(says(json, "[]"));
  OK(honker_job_apply(db, NULL, T("{\"error\":\"17\"}"), T("retry"), &json, ERR));
  CHECK(says(json, "{\"changed\":1,"));
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live") == 3);
  OK(honker_close(db, ERR));
}

const test_t batch_tests[] = {
    {"a_batch_from_create_to_its_callback", a_batch_from_create_to_its_callback},
    {"a_batch_takes_part_in_a_transaction", a_batch_takes_part_in_a_transaction},
    {"a_step_is_saved_once_by_who_holds_the_job", a_step_is_saved_once_by_who_holds_the_job},
    {"jobs_are_listed_and_acted_on", jobs_are_listed_and_acted_on},
    {NULL, NULL},
};
