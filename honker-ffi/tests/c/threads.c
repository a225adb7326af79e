/* Several threads: at once, one after the other, and one that ends what another does. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "check.h"

/* A statement that takes longer than any test. */
#define ENDLESS \
  "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

static pthread_t start(void *(*body)(void *), void *argument) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, body, argument) == 0);
  return thread;
}

static void join(pthread_t thread) { CHECK(pthread_join(thread, NULL) == 0); }

/* One call on a thread of its own. */
typedef struct {
  honker_db_t *db;
  honker_tx_t *tx;
  _Atomic bool done;
  honker_status_t status;
} job_t;

static void *writes(void *argument) {
  job_t *job = argument;
  int64_t id = 0;
  job->status = honker_enqueue(job->db, NULL, T("q"), T("x"), NULL, &id, NULL);
  CHECK((id != 0) == (job->status == HONKER_OK));
  job->done = true;
  return NULL;
}

static void *begins(void *argument) {
  job_t *job = argument;
  honker_tx_t *tx = NULL;
  job->status = honker_tx_begin(job->db, &tx, NULL);
  CHECK((tx != NULL) == (job->status == HONKER_OK));
  honker_tx_free(tx);
  job->done = true;
  return NULL;
}

static void *queries(void *argument) {
  job_t *job = argument;
  honker_rows_t *rows = NULL;
  job->status = honker_query(job->db, T(ENDLESS), NULL, 0, &rows, NULL);
  CHECK(rows == NULL);
  job->done = true;
  return NULL;
}

static void *queries_in_transaction(void *argument) {
  job_t *job = argument;
  honker_rows_t *rows = NULL;
  /* The other thread may be using it at this moment. */
  do job->status = honker_tx_query(job->tx, T(ENDLESS), NULL, 0, &rows, NULL);
  while (job->status == HONKER_MISUSE);
  CHECK(rows == NULL);
  job->done = true;
  return NULL;
}

static void *enqueues_many_times(void *argument) {
  honker_db_t *db = argument;
  int64_t id = 0;
  for (int i = 0; i < 100; i++) OK(honker_enqueue(db, NULL, T("q"), T("x"), NULL, &id, ERR));
  return NULL;
}

static void many_threads_write_at_once(void) {
  honker_db_t *db = open_db("a.db");
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) threads[i] = start(enqueues_many_times, db);
  for (int i = 0; i < 8; i++) join(threads[i]);
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live") == 800);
  OK(honker_close(db, ERR));
}

/* Where many tasks share a thread, that a thread has used a transaction says nothing of the others.
 */
static void who_wants_to_wait_for_the_own_thread_does(void) {
  honker_open_opts_t opts = HONKER_OPEN_OPTS_INIT;
  opts.nesting = HONKER_NESTING_WAIT;
  opts.busy_timeout_ms = 20;
  honker_db_t *db = open_with("a.db", &opts);
  honker_tx_t *tx = NULL;
  OK(honker_tx_begin(db, &tx, ERR));
  int64_t id = 0;
  EXPECT(HONKER_BUSY, honker_enqueue(db, NULL, T("q"), T("x"), NULL, &id, ERR));
  honker_tx_t *inner = NULL;
  EXPECT(HONKER_BUSY, honker_tx_begin(db, &inner, ERR));
  OK(honker_enqueue(db, tx, T("q"), T("x"), NULL, &id, ERR));
  OK(honker_tx_commit(tx, ERR));
  honker_tx_free(tx);
  OK(honker_enqueue(db, NULL, T("q"), T("x"), NULL, &id, ERR));
  OK(honker_close(db, ERR));
}

static void transactions_do_not_nest(void) {
  honker_db_t *db = open_db("a.db");
  honker_tx_t *tx = NULL, *inner = (honker_tx_t *)(void *)&inner;
  int64_t id = 9, begin = now_ms();
  OK(honker_tx_begin(db, &tx, ERR));
  EXPECT(HONKER_MISUSE, honker_tx_begin(db, &inner, ERR));
  CHECK(inner == NULL && contains(check_message(), "nest"));
  EXPECT(HONKER_MISUSE, honker_enqueue(db, NULL, T("q"), T("x"), NULL, &id, ERR));
  CHECK(id == 0 && now_ms() - begin < 4000);
  OK(honker_enqueue(db, tx, T("q"), T("x"), NULL, &id, ERR));
  OK(honker_tx_commit(tx, ERR));
  honker_tx_free(tx);
  OK(honker_tx_begin(db, &tx, ERR));
  honker_tx_free(tx);
  OK(honker_close(db, ERR));
}

static void *uses_and_commits(void *argument) {
  job_t *job = argument;
  int64_t id = 0;
  OK(honker_enqueue(job->db, job->tx, T("q"), T("x"), NULL, &id, ERR));
  OK(honker_tx_commit(job->tx, ERR));
  return NULL;
}

static void a_transaction_moves_to_another_thread(void) {
  honker_db_t *db = open_db("a.db");
  job_t job = {.db = db};
  OK(honker_tx_begin(db, &job.tx, ERR));
  join(start(uses_and_commits, &job));
  EXPECT(HONKER_MISUSE, honker_tx_commit(job.tx, ERR));
  honker_tx_free(job.tx);
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live") == 1);
  OK(honker_close(db, ERR));
}

static void one_thread_at_a_time_uses_a_transaction(void) {
  honker_db_t *db = open_db("a.db");
  job_t job = {.db = db};
  int64_t changes = 0;
  OK(honker_tx_begin(db, &job.tx, ERR));
  pthread_t thread = start(queries_in_transaction, &job);
  /* It is the other thread's as soon as that has begun. */
  while (honker_tx_execute(job.tx, T("SELECT 1"), NULL, 0, &changes, NULL) == HONKER_OK)
    sleep_ms(1);
  EXPECT(HONKER_MISUSE, honker_tx_execute(job.tx, T("SELECT 1"), NULL, 0, &changes, ERR));
  CHECK(contains(check_message(), "another thread"));
  EXPECT(HONKER_MISUSE, honker_tx_commit(job.tx, ERR));
  EXPECT(HONKER_MISUSE, honker_cancel(db, job.tx, 1, ERR));
  CHECK(!job.done);
  while (!job.done) {
    OK(honker_interrupt(db, ERR));
    sleep_ms(2);
  }
  join(thread);
  CHECK(job.status == HONKER_INTERRUPTED);
  OK(honker_tx_rollback(job.tx, ERR));
  honker_tx_free(job.tx);
  OK(honker_close(db, ERR));
}

static void the_writer_is_waited_for(void) {
  honker_open_opts_t opts = HONKER_OPEN_OPTS_INIT;
  opts.busy_timeout_ms = 50;
  honker_db_t *db = open_with("a.db", &opts);
  honker_tx_t *tx = NULL;
  job_t job = {.db = db};
  OK(honker_tx_begin(db, &tx, ERR));
  join(start(writes, &job));
  CHECK(job.status == HONKER_BUSY);
  join(start(begins, &job));
  CHECK(job.status == HONKER_BUSY);
  OK(honker_tx_commit(tx, ERR));
  honker_tx_free(tx);
  join(start(writes, &job));
  CHECK(job.status == HONKER_OK);
  OK(honker_close(db, ERR));
  opts.busy_timeout_ms = INT64_MAX;
  db = open_with("a.db", &opts);
  job = (job_t){.db = db};
  OK(honker_tx_begin(db, &tx, ERR));
  pthread_t thread = start(writes, &job);
  sleep_ms(20);
  CHECK(!job.done);
  OK(honker_tx_commit(tx, ERR));
  honker_tx_free(tx);
  join(thread);
  CHECK(job.status == HONKER_OK);
  OK(honker_close(db, ERR));
}

/* Interrupts until the call of the thread has ended: one that comes before it begins is not meant
 * for it. */
static void interrupt_ends(void *(*body)(void *), bool in_transaction) {
  honker_db_t *db = open_db("a.db");
  honker_tx_t *tx = NULL;
  int64_t id = 0;
  job_t job = {.db = db};
  OK(honker_tx_begin(db, &tx, ERR));
  if (in_transaction) job.tx = tx;
  pthread_t thread = start(body, &job);
  sleep_ms(10);
  while (!job.done) {
    OK(honker_interrupt(db, ERR));
    sleep_ms(2);
  }
  join(thread);
  CHECK(job.status == HONKER_INTERRUPTED);
  /* Later calls are not affected. */
  OK(honker_enqueue(db, tx, T("q"), T("x"), NULL, &id, ERR));
  OK(honker_tx_commit(tx, ERR));
  honker_tx_free(tx);
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live") == 1);
  OK(honker_close(db, ERR));
}

static void interrupt_ends_waiting_to_write(void) { interrupt_ends(writes, false); }
static void interrupt_ends_waiting_to_begin(void) { interrupt_ends(begins, false); }
static void interrupt_ends_a_query(void) { interrupt_ends(queries, false); }
static void interrupt_ends_a_query_in_a_transaction(void) {
  interrupt_ends(queries_in_transaction, true);
}

/* Closes the database while a thread makes a call; what the call answers. */
static honker_status_t close_during(void *(*body)(void *), bool in_transaction) {
  honker_db_t *db = open_db("a.db");
  honker_tx_t *tx = NULL;
  honker_rows_t *rows = NULL;
  int64_t id = 0;
  job_t job = {.db = db};
  OK(honker_tx_begin(db, &tx, ERR));
  OK(honker_enqueue(db, tx, T("q"), T("never committed"), NULL, &id, ERR));
  if (in_transaction) job.tx = tx;
  pthread_t thread = start(body, &job);
  sleep_ms(30);
  CHECK(!job.done);
  OK(honker_close(db, ERR));
  join(thread);
  EXPECT(HONKER_MISUSE, honker_close(db, ERR));
  EXPECT(HONKER_MISUSE, honker_enqueue(db, tx, T("q"), T("x"), NULL, &id, ERR));
  EXPECT(HONKER_CLOSED_HANDLE, honker_tx_query(tx, T("SELECT 1"), NULL, 0, &rows, ERR));
  EXPECT(HONKER_CLOSED_HANDLE, honker_tx_execute(tx, T("SELECT 1"), NULL, 0, &id, ERR));
  EXPECT(HONKER_CLOSED_HANDLE, honker_tx_commit(tx, ERR));
  EXPECT(HONKER_MISUSE, honker_tx_commit(tx, ERR));
  honker_tx_free(tx);
  db = open_db("a.db");
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live") == 0);
  OK(honker_close(db, ERR));
  return job.status;
}

static void close_ends(void *(*body)(void *), bool in_transaction) {
  honker_status_t status = HONKER_MISUSE;
  /* On a busy machine the thread may not have begun its call yet, and finds the handle closed. */
  for (int i = 0; status == HONKER_MISUSE && i < 20; i++) {
    status = close_during(body, in_transaction);
  }
  if (status != HONKER_CLOSED_HANDLE) check_failed(__FILE__, __LINE__, honker_status_name(status));
}

static void close_ends_waiting_to_write(void) { close_ends(writes, false); }
static void close_ends_waiting_to_begin(void) { close_ends(begins, false); }
static void close_ends_a_query(void) { close_ends(queries, false); }
static void close_ends_a_query_in_a_transaction(void) { close_ends(queries_in_transaction, true); }

static void *reads_until_freed(void *argument) {
  size_t len = 0;
  honker_status_t status = HONKER_OK;
  while (status == HONKER_OK) status = honker_jobs_len(argument, &len, NULL);
  CHECK(status == HONKER_MISUSE && len == 0);
  return NULL;
}

static void *frees(void *argument) {
  honker_jobs_free(argument);
  return NULL;
}

static void freeing_races_with_using(void) {
  honker_db_t *db = open_db("a.db");
  int64_t id = 0;
  for (int round = 0; round < 50; round++) {
    honker_jobs_t *jobs = NULL;
    OK(honker_enqueue(db, NULL, T("q"), T("x"), NULL, &id, ERR));
    OK(honker_claim(db, NULL, T("q"), T("w"), 1, 60, &jobs, ERR));
    pthread_t readers[2] = {start(reads_until_freed, jobs), start(reads_until_freed, jobs)};
    pthread_t freers[2] = {start(frees, jobs), start(frees, jobs)};
    for (int i = 0; i < 2; i++) join(readers[i]), join(freers[i]);
  }
  OK(honker_close(db, ERR));
}

static void a_transaction_is_freed_while_it_is_used(void) {
  honker_db_t *db = open_db("a.db");
  job_t job = {.db = db};
  int64_t id = 0;
  OK(honker_tx_begin(db, &job.tx, ERR));
  OK(honker_enqueue(db, job.tx, T("q"), T("x"), NULL, &id, ERR));
  pthread_t thread = start(queries_in_transaction, &job);
  while (honker_tx_execute(job.tx, T("SELECT 1"), NULL, 0, &id, NULL) == HONKER_OK) sleep_ms(1);
  CHECK(!job.done);
  honker_tx_free(job.tx);
  EXPECT(HONKER_MISUSE, honker_tx_commit(job.tx, ERR));
  /* What runs in it ends, it is rolled back, and others write. */
  join(thread);
  CHECK(job.status == HONKER_INTERRUPTED);
  OK(honker_enqueue(db, NULL, T("q"), T("x"), NULL, &id, ERR));
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live") == 1);
  OK(honker_close(db, ERR));
}

static void *begins_and_commits_many_times(void *argument) {
  job_t *job = argument;
  int64_t id = 0;
  for (int i = 0; i < 300; i++) {
    honker_tx_t *tx = NULL;
    OK(honker_tx_begin(job->db, &tx, ERR));
    OK(honker_enqueue(job->db, tx, T("q"), T("x"), NULL, &id, ERR));
    OK(honker_tx_commit(tx, ERR));
    honker_tx_free(tx);
  }
  job->done = true;
  return NULL;
}

static void *uses_until_it_is_over(void *argument) {
  job_t *job = argument;
  int64_t changes = 0;
  honker_status_t status = HONKER_OK;
  while (status == HONKER_OK) {
    status = honker_tx_execute(job->tx, T("SELECT 1"), NULL, 0, &changes, NULL);
  }
  CHECK(status == HONKER_MISUSE || status == HONKER_INTERRUPTED);
  return NULL;
}

/* Nobody else is interrupted by it, whoever has the writer next. */
static void freeing_a_transaction_in_use_interrupts_nobody_else(void) {
  honker_db_t *db = open_db("a.db");
  job_t others = {.db = db};
  pthread_t innocent = start(begins_and_commits_many_times, &others);
  while (!others.done) {
    job_t job = {.db = db};
    OK(honker_tx_begin(db, &job.tx, ERR));
    pthread_t thread = start(uses_until_it_is_over, &job);
    honker_tx_free(job.tx);
    join(thread);
  }
  join(innocent);
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live") == 300);
  OK(honker_close(db, ERR));
}

static void *opens_and_closes(void *argument) {
  (void)argument;
  int64_t id = 0;
  for (int i = 0; i < 10; i++) {
    honker_db_t *db = open_db("a.db");
    OK(honker_enqueue(db, NULL, T("q"), T("x"), NULL, &id, ERR));
    OK(honker_close(db, ERR));
  }
  return NULL;
}

static void many_threads_open_one_file(void) {
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) threads[i] = start(opens_and_closes, NULL);
  for (int i = 0; i < 4; i++) join(threads[i]);
  honker_db_t *db = open_db("a.db");
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live") == 40);
  OK(honker_close(db, ERR));
}

const test_t thread_tests[] = {
    {"many_threads_write_at_once", many_threads_write_at_once},
    {"transactions_do_not_nest", transactions_do_not_nest},
    {"who_wants_to_wait_for_the_own_thread_does", who_wants_to_wait_for_the_own_thread_does},
    {"a_transaction_moves_to_another_thread", a_transaction_moves_to_another_thread},
    {"one_thread_at_a_time_uses_a_transaction", one_thread_at_a_time_uses_a_transaction},
    {"the_writer_is_waited_for", the_writer_is_waited_for},
    {"interrupt_ends_waiting_to_write", interrupt_ends_waiting_to_write},
    {"interrupt_ends_waiting_to_begin", interrupt_ends_waiting_to_begin},
    {"interrupt_ends_a_query", interrupt_ends_a_query},
    {"interrupt_ends_a_query_in_a_transaction", interrupt_ends_a_query_in_a_transaction},
    {"close_ends_waiting_to_write", close_ends_waiting_to_write},
    {"close_ends_waiting_to_begin", close_ends_waiting_to_begin},
    {"close_ends_a_query", close_ends_a_query},
    {"close_ends_a_query_in_a_transaction", close_ends_a_query_in_a_transaction},
    {"freeing_races_with_using", freeing_races_with_using},
    {"a_transaction_is_freed_while_it_is_used", a_transaction_is_freed_while_it_is_used},
    {"freeing_a_transaction_in_use_interrupts_nobody_else", freeing_a_transaction_in_use_interrupts_nobody_else},
    {"many_threads_open_one_file", many_threads_open_one_file},
    {NULL, NULL},
};
