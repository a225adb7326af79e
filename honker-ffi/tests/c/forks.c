/* Forked children: what they inherit is of no use to them, and does no harm. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "functions.h"

/* A child that hangs is ended, and found out. */
static pid_t fork_with_alarm(void) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) alarm(30);
  return child;
}

static void ends_well(pid_t child) {
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void nothing_inherited_can_be_used(const fixture_t *plain, const fixture_t *in_tx) {
  for (const function_t *f = functions; f < functions + functions_len; f++) {
    if (f->takes == 0) continue;
    call_t call = call_on((f->takes & (TAKES(TX) | MAY_TX)) != 0 ? in_tx : plain);
    run_call(f, &call,
             (f->is & FALLIBLE) != 0 ? HONKER_FORKED
             : (f->is & TELLS) != 0  ? 1
                                     : HONKER_OK);
    /* NULL is NULL also here. */
    memset(call.handles, 0, sizeof call.handles);
    run_call(f, &call,
             (f->is & FALLIBLE) != 0 ? HONKER_MISUSE
             : (f->is & TELLS) != 0  ? 1
                                     : HONKER_OK);
  }
}

static void a_child_uses_its_own(const char *file) {
  int64_t id = 0;
  honker_tx_t *tx = NULL;
  honker_db_t *db = open_db(file);
  OK(honker_enqueue(db, NULL, T("q"), T("of the child"), NULL, &id, ERR));
  OK(honker_tx_begin(db, &tx, ERR));
  OK(honker_enqueue(db, tx, T("q"), T("of the child"), NULL, &id, ERR));
  OK(honker_tx_commit(tx, ERR));
  honker_tx_free(tx);
  OK(honker_close(db, ERR));
}

static void a_child_cannot_use_what_it_inherits(void) {
  fixture_t plain = fixture_new(false), in_tx = fixture_new(true);
  honker_db_t *db = open_db("a.db");
  int64_t id = 0;
  OK(honker_enqueue(in_tx.db, in_tx.tx, T("mine"), T("x"), NULL, &id, ERR));
  pid_t child = fork_with_alarm();
  if (child == 0) {
    nothing_inherited_can_be_used(&plain, &in_tx);
    a_child_uses_its_own("a.db");
    /* Also now that the child has handles of its own, whose numbers may be like those of its
     * parent's. */
    nothing_inherited_can_be_used(&plain, &in_tx);
    pid_t grandchild = fork_with_alarm();
    if (grandchild == 0) {
      nothing_inherited_can_be_used(&plain, &in_tx);
      a_child_uses_its_own("a.db");
      _exit(0);
    }
    ends_well(grandchild);
    fixture_free(&plain);
    fixture_free(&in_tx);
    _exit(0);
  }
  ends_well(child);
  /* The parent has lost nothing. */
  OK(honker_tx_commit(in_tx.tx, ERR));
  CHECK(integer_of(in_tx.db, "SELECT count(*) FROM _honker_live WHERE queue = 'mine'") == 1);
  OK(honker_enqueue(db, NULL, T("q"), T("x"), NULL, &id, ERR));
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live") == 5);
  size_t len = 0;
  OK(honker_jobs_len(plain.jobs, &len, ERR));
  OK(honker_close(db, ERR));
  fixture_free(&plain);
  fixture_free(&in_tx);
}

static _Atomic bool enough;

static void *works_until_enough(void *argument) {
  honker_db_t *db = argument;
  int64_t id = 0;
  while (!enough) {
    honker_jobs_t *jobs = NULL;
    honker_text_t *json = NULL;
    OK(honker_enqueue(db, NULL, T("busy"), T("x"), NULL, &id, ERR));
    OK(honker_get_job(db, NULL, id, &json, ERR));
    honker_text_free(json);
    honker_status_t status = honker_claim(db, NULL, T("busy"), T("w"), 1, 60, &jobs, NULL);
    CHECK(status == HONKER_OK || status == HONKER_EMPTY);
    honker_jobs_free(jobs);
    OK(honker_cron_next_after(T("CRON_TZ=Europe/Berlin 0 4 * * *"), 0, &id, ERR));
  }
  return NULL;
}

static void *opens_until_enough(void *argument) {
  (void)argument;
  while (!enough) OK(honker_close(open_db("other.db"), ERR));
  return NULL;
}

static void *schedules_until_enough(void *argument) {
  (void)argument;
  int64_t at = 0;
  while (!enough) OK(honker_cron_next_after(T("CRON_TZ=Asia/Tokyo 0 4 * * *"), 0, &at, ERR));
  return NULL;
}

/* Whatever lock a thread of the parent holds at that moment, the child has no thread to let it go.
 */
static void a_fork_catches_other_threads_in_calls(void) {
#ifdef __SANITIZE_ADDRESS__
  /* Its allocator has locks that a fork catches, and then the child hangs in malloc. */
  return;
#endif
  honker_db_t *db = open_db("a.db");
  pthread_t threads[5];
  enough = false;
  for (int i = 0; i < 3; i++) CHECK(pthread_create(&threads[i], NULL, works_until_enough, db) == 0);
  CHECK(pthread_create(&threads[3], NULL, opens_until_enough, NULL) == 0);
  CHECK(pthread_create(&threads[4], NULL, schedules_until_enough, NULL) == 0);
  for (int round = 0; round < 30; round++) {
    pid_t child = fork_with_alarm();
    if (child == 0) {
      int64_t id = 0;
      EXPECT(HONKER_FORKED, honker_enqueue(db, NULL, T("q"), T("x"), NULL, &id, ERR));
      EXPECT(HONKER_FORKED, honker_close(db, ERR));
      a_child_uses_its_own("a.db");
      a_child_uses_its_own("other.db");
      OK(honker_cron_next_after(T("CRON_TZ=Europe/Berlin 0 4 * * *"), 0, &id, ERR));
      _exit(0);
    }
    ends_well(child);
  }
  enough = true;
  for (int i = 0; i < 5; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live WHERE queue = 'q'") == 60);
  OK(honker_close(db, ERR));
}

/* A child that lives on does not keep its parent's locks. */
static void a_child_holds_no_lock_of_its_parent(void) {
  int ready[2];
  char byte = 0;
  CHECK(pipe(ready) == 0);
  OK(honker_close(open_db("a.db"), ERR));
  pid_t holder = fork_with_alarm();
  if (holder == 0) {
    honker_tx_t *tx = NULL;
    int64_t id = 0;
    OK(honker_tx_begin(open_db("a.db"), &tx, ERR));
    OK(honker_notify(open_db("other.db"), NULL, T("c"), T("x"), &id, ERR));
    if (fork_with_alarm() == 0) {
      CHECK(write(ready[1], "x", 1) == 1);
      sleep_ms(3000);
      _exit(0);
    }
    sleep_ms(30000);
    _exit(0);
  }
  CHECK(read(ready[0], &byte, 1) == 1);
  CHECK(kill(holder, SIGKILL) == 0 && waitpid(holder, NULL, 0) == holder);
  honker_open_opts_t opts = HONKER_OPEN_OPTS_INIT;
  opts.busy_timeout_ms = 2000;
  honker_db_t *db = open_with("a.db", &opts);
  int64_t id = 0;
  OK(honker_enqueue(db, NULL, T("q"), T("x"), NULL, &id, ERR));
  OK(honker_close(db, ERR));
  close(ready[0]);
  close(ready[1]);
}

const test_t fork_tests[] = {
    {"a_child_cannot_use_what_it_inherits", a_child_cannot_use_what_it_inherits},
    {"a_fork_catches_other_threads_in_calls", a_fork_catches_other_threads_in_calls},
    {"a_child_holds_no_lock_of_its_parent", a_child_holds_no_lock_of_its_parent},
    {NULL, NULL},
};
