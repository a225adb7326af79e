/* Waiting: waiters and the consumers that are made with them, woken by commits, by other threads,
 * and by what ends them.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"

/* --- What other threads do meanwhile. --- */

typedef struct {
  honker_db_t *db;
  honker_waiter_t *waiter;
  /* 0: enqueues; 1: wakes; 2: frees the waiter; 3: interrupts; 4: closes the database. */
  int what;
  _Atomic bool over;
} meanwhile_t;

/* Until the wait is over: one that comes before it begins is not meant for it. */
static void interrupt(meanwhile_t *m) {
  while (!m->over) {
    OK(honker_interrupt(m->db, ERR));
    sleep_ms(2);
  }
}

static void *after_a_moment(void *argument) {
  meanwhile_t *m = argument;
  int64_t id = 0;
  sleep_ms(100);
  switch (m->what) {
    case 0:
      OK(honker_enqueue(m->db, NULL, T("q"), T("late"), NULL, &id, ERR));
      break;
    case 1:
      OK(honker_waiter_wake(m->waiter, ERR));
      break;
    case 2:
      honker_waiter_free(m->waiter);
      break;
    case 3:
      interrupt(m);
      break;
    case 4:
      OK(honker_close(m->db, ERR));
      break;
  }
  return NULL;
}

static bool readable(honker_waiter_t *waiter) {
  int64_t fd = -1;
  OK(honker_waiter_fd(waiter, &fd, ERR));
  struct pollfd poll_fd = {.fd = (int)fd, .events = POLLIN};
  return poll(&poll_fd, 1, 0) == 1;
}

static void add(honker_db_t *db, const char *queue, const char *payload) {
  int64_t id = 0;
  OK(honker_enqueue(db, NULL, S(queue), S(payload), NULL, &id, ERR));
}

static honker_worker_queue_t queue_named(const char *name) {
  honker_worker_queue_t queue = HONKER_WORKER_QUEUE_INIT;
  queue.name = (honker_bytes_t){S(name)};
  return queue;
}

static honker_worker_t *worker_on(honker_db_t *db, honker_waiter_t *waiter, uint64_t token,
                                  const char *name) {
  honker_worker_queue_t queue = queue_named(name);
  honker_worker_t *worker = NULL;
  OK(honker_worker_new(db, waiter, token, &queue, 1, T("w"), NULL, &worker, ERR));
  return worker;
}

/* All wakes there are, taken. */
static void settle(honker_waiter_t *waiter) {
  while (honker_wait(waiter, 300, NULL) == HONKER_OK) continue;
}

/* --- Waiters. --- */

static void a_commit_wakes(void) {
  honker_db_t *db = open_db("a.db"), *other = open_db("a.db");
  honker_waiter_t *waiter = NULL;
  OK(honker_waiter_new(db, &waiter, ERR));
  EXPECT(HONKER_TIMEOUT, honker_wait(waiter, 0, ERR));
  add(db, "q", "x");
  OK(honker_wait(waiter, 10000, ERR));
  settle(waiter);
  add(other, "q", "y");
  OK(honker_wait(waiter, 10000, ERR));
  settle(waiter);
  int64_t begin = now_ms();
  EXPECT(HONKER_TIMEOUT, honker_wait(waiter, 50, ERR));
  CHECK(now_ms() - begin >= 49);
  honker_waiter_free(waiter);
  OK(honker_close(other, ERR));
  OK(honker_close(db, ERR));
}

static void others_end_a_wait(void) {
  static const honker_status_t wanted[] = {HONKER_OK, HONKER_WOKEN, HONKER_CLOSED,
                                           HONKER_INTERRUPTED, HONKER_CLOSED};
  for (int what = 0; what < 5; what++) {
    honker_db_t *db = open_db("a.db");
    honker_waiter_t *waiter = NULL;
    honker_status_t status;
    /* On a busy machine the wait may not have begun when its waiter is freed. */
    do {
      OK(honker_waiter_new(db, &waiter, ERR));
      meanwhile_t m = {db, waiter, what, false};
      pthread_t thread;
      CHECK(pthread_create(&thread, NULL, after_a_moment, &m) == 0);
      status = honker_wait(waiter, 30000, NULL);
      m.over = true;
      CHECK(pthread_join(thread, NULL) == 0);
    } while (what == 2 && status == HONKER_MISUSE);
    if (status != wanted[what]) check_failed(__FILE__, __LINE__, honker_status_name(status));
    if (what == 4) EXPECT(HONKER_CLOSED, honker_wait(waiter, 0, ERR));
    if (what == 2) EXPECT(HONKER_MISUSE, honker_wait(waiter, 0, ERR));
    honker_waiter_free(waiter);
    honker_close(db, NULL);
  }
}

static void a_wake_before_the_wait_counts(void) {
  honker_db_t *db = open_db("a.db");
  honker_waiter_t *waiter = NULL;
  OK(honker_waiter_new(db, &waiter, ERR));
  OK(honker_waiter_wake(waiter, ERR));
  OK(honker_waiter_wake(waiter, ERR));
  EXPECT(HONKER_WOKEN, honker_wait(waiter, -1, ERR));
  EXPECT(HONKER_TIMEOUT, honker_wait(waiter, 0, ERR));
  EXPECT(HONKER_INVALID, honker_wait(waiter, -2, ERR));
  honker_waiter_free(waiter);
  OK(honker_close(db, ERR));
}

/* It may be readable with nothing to see, and is not once that has been asked for often enough. */
static int rests(honker_waiter_t *waiter) {
  for (int i = 0; i < 3000; i++) {
    if (!readable(waiter)) return 1;
    EXPECT(HONKER_TIMEOUT, honker_wait(waiter, 0, ERR));
    sleep_ms(1);
  }
  return 0;
}

static void the_descriptor_is_readable_while_there_is_something(void) {
  honker_db_t *db = open_db("a.db");
  honker_waiter_t *waiter = NULL;
  OK(honker_waiter_new(db, &waiter, ERR));
  CHECK(rests(waiter));
  OK(honker_waiter_wake(waiter, ERR));
  CHECK(readable(waiter));
  EXPECT(HONKER_WOKEN, honker_wait(waiter, 0, ERR));
  CHECK(rests(waiter));
  add(db, "q", "x");
  CHECK(readable(waiter));
  OK(honker_wait(waiter, 0, ERR));
  settle(waiter);
  CHECK(rests(waiter));
  OK(honker_close(db, ERR));
  CHECK(readable(waiter));
  honker_waiter_free(waiter);
}

static void a_waiter_serves_many_consumers_of_its_database(void) {
  honker_db_t *db = open_db("a.db"), *other = open_db("b.db");
  honker_waiter_t *waiter = NULL;
  honker_worker_t *worker = NULL;
  honker_listener_t *listener = NULL;
  honker_jobs_t *jobs = NULL;
  honker_notification_view_t heard = HONKER_NOTIFICATION_VIEW_INIT;
  honker_worker_queue_t queue = queue_named("q");
  int64_t id = 0;
  OK(honker_waiter_new(db, &waiter, ERR));
  EXPECT(HONKER_INVALID,
         honker_worker_new(other, waiter, 1, &queue, 1, T("w"), NULL, &worker, ERR));
  CHECK(contains(check_message(), "another database"));
  worker = worker_on(db, waiter, 1, "q");
  OK(honker_listener_new(db, waiter, 2, T("c"), -1, &listener, ERR));
  add(db, "q", "x");
  OK(honker_notify(db, NULL, T("c"), T("y"), &id, ERR));
  OK(honker_wait(waiter, 10000, ERR));
  OK(honker_worker_next(worker, 1, 0, &jobs, ERR));
  honker_jobs_free(jobs);
  OK(honker_listener_next(listener, 0, &heard, ERR));
  CHECK(bytes_are(heard.payload, "y"));
  /* One that is freed is no more in the way of the others than one that is not. */
  honker_worker_free(worker);
  OK(honker_notify(db, NULL, T("c"), T("z"), &id, ERR));
  OK(honker_listener_next(listener, 10000, &heard, ERR));
  CHECK(bytes_are(heard.payload, "z"));
  honker_listener_free(listener);
  honker_waiter_free(waiter);
  OK(honker_close(db, ERR));
  OK(honker_close(other, ERR));
}

static void a_replaced_file_ends_all_waits(void) {
  honker_db_t *db = open_db("a.db");
  honker_waiter_t *waiter = NULL, *later = NULL;
  OK(honker_waiter_new(db, &waiter, ERR));
  OK(honker_close(open_db("b.db"), ERR));
  CHECK(rename(path_of("b.db"), path_of("a.db")) == 0);
  honker_status_t status;
  do status = honker_wait(waiter, 10000, NULL);
  while (status == HONKER_OK);
  CHECK(status == HONKER_WATCHER);
  EXPECT(HONKER_WATCHER, honker_waiter_new(db, &later, ERR));
  CHECK(contains(check_message(), "watcher died"));
  honker_waiter_free(waiter);
  honker_close(db, NULL);
}

static void back_ends_have_names(void) {
  static const char *const good[] = {"auto",           "polling", "poll",         "kernel",
                                     "kernel-watcher", "shm",     "shm-fast-path"};
  static const char *const bad[] = {"KERNEL", " polling ", "inotify"};
  honker_open_opts_t opts = HONKER_OPEN_OPTS_INIT;
  honker_db_t *db = NULL;
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    opts.watcher_backend = (honker_bytes_t){S(good[i])};
    db = open_with("a.db", &opts);
    honker_waiter_t *waiter = NULL;
    OK(honker_waiter_new(db, &waiter, ERR));
    add(db, "q", "x");
    OK(honker_wait(waiter, 10000, ERR));
    honker_waiter_free(waiter);
    OK(honker_close(db, ERR));
  }
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    opts.watcher_backend = (honker_bytes_t){S(bad[i])};
    EXPECT(HONKER_INVALID, honker_open(S(path_of("a.db")), &opts, &db, ERR));
    CHECK(contains(check_message(), "unknown watcher backend"));
  }
  opts = (honker_open_opts_t)HONKER_OPEN_OPTS_INIT;
  opts.watcher_poll_interval_ms = 0;
  EXPECT(HONKER_INVALID, honker_open(S(path_of("a.db")), &opts, &db, ERR));
  CHECK(contains(check_message(), "must be positive"));
}

/* --- Consumers. --- */

static void a_worker_waits_claims_and_settles(void) {
  honker_db_t *db = open_db("a.db");
  honker_waiter_t *waiter = NULL;
  honker_worker_t *worker = NULL;
  honker_jobs_t *jobs = NULL;
  honker_job_view_t job = HONKER_JOB_VIEW_INIT;
  honker_worker_opts_t opts = HONKER_WORKER_OPTS_INIT;
  honker_worker_queue_t queue = queue_named("q");
  opts.fallback_ms = -1;
  OK(honker_waiter_new(db, &waiter, ERR));
  OK(honker_worker_new(db, waiter, 1, &queue, 1, T("w"), &opts, &worker, ERR));
  EXPECT(HONKER_TIMEOUT, honker_worker_next(worker, 1, 0, &jobs, ERR));
  CHECK(jobs == NULL);
  meanwhile_t m = {db, waiter, 0, false};
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, after_a_moment, &m) == 0);
  OK(honker_worker_next(worker, 1, 30000, &jobs, ERR));
  CHECK(pthread_join(thread, NULL) == 0);
  OK(honker_jobs_get(jobs, 0, &job, ERR));
  CHECK(bytes_are(job.payload, "late"));
  honker_jobs_free(jobs);

  add(db, "q", "next");
  honker_settlement_t settlements[] = {
      {HONKER_SETTLE_ACK, -1, job.id, job.serial, 0, {NULL, 0}},
      {HONKER_SETTLE_FAIL, -1, 999, 1, 0, {T("gone")}},
  };
  OK(honker_worker_settle_next(worker, settlements, 2, 1, 0, &jobs, ERR));
  CHECK(settlements[0].status == HONKER_OK && settlements[1].status == HONKER_LOST);
  OK(honker_jobs_get(jobs, 0, &job, ERR));
  CHECK(bytes_are(job.payload, "next"));
  honker_jobs_free(jobs);
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live") == 1);

  settlements[0] =
      (honker_settlement_t){HONKER_SETTLE_RETRY, -1, job.id, job.serial, 0, {T("again")}};
  OK(honker_worker_settle_next(worker, settlements, 1, 1, 0, &jobs, ERR));
  CHECK(settlements[0].status == HONKER_OK);
  OK(honker_jobs_get(jobs, 0, &job, ERR));
  CHECK(job.attempts == 2);
  honker_jobs_free(jobs);
  settlements[0].kind = 5;
  EXPECT(HONKER_INVALID, honker_worker_settle_next(worker, settlements, 1, 1, 0, &jobs, ERR));
  opts.fallback_ms = 0;
  honker_worker_t *spinning = NULL;
  honker_worker_free(worker);
  EXPECT(HONKER_INVALID,
         honker_worker_new(db, waiter, 1, &queue, 1, T("w"), &opts, &spinning, ERR));
  honker_waiter_free(waiter);
  OK(honker_close(db, ERR));
}

static void *after_the_commit(void *argument) {
  meanwhile_t *m = argument;
  while (integer_of(m->db, "SELECT count(*) FROM _honker_live") != 0) sleep_ms(1);
  interrupt(m);
  return NULL;
}

/* What was settled is settled, whatever becomes of the wait: the statuses of the settlements tell
 * whether the error is one of the commit. */
static void settlements_say_whether_an_error_came_after_them(void) {
  honker_db_t *db = open_db("a.db");
  honker_waiter_t *waiter = NULL;
  honker_jobs_t *jobs = NULL;
  honker_job_view_t job = HONKER_JOB_VIEW_INIT;
  OK(honker_waiter_new(db, &waiter, ERR));
  honker_worker_t *worker = worker_on(db, waiter, 1, "q");
  add(db, "q", "x");
  OK(honker_worker_next(worker, 1, 0, &jobs, ERR));
  OK(honker_jobs_get(jobs, 0, &job, ERR));
  honker_jobs_free(jobs);
  honker_settlement_t done[] = {{HONKER_SETTLE_ACK, -1, job.id, job.serial, 0, {NULL, 0}},
                                {HONKER_SETTLE_ACK, -1, 999, 1, 0, {NULL, 0}}};
  meanwhile_t m = {db, waiter, 3, false};
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, after_the_commit, &m) == 0);
  EXPECT(HONKER_INTERRUPTED, honker_worker_settle_next(worker, done, 2, 1, 60000, &jobs, ERR));
  m.over = true;
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(done[0].status == HONKER_OK && done[1].status == HONKER_LOST && jobs == NULL);
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live") == 0);

  /* It was that call's, and the next goes on. */
  add(db, "q", "y");
  OK(honker_worker_next(worker, 1, 0, &jobs, ERR));
  OK(honker_jobs_get(jobs, 0, &job, ERR));
  honker_jobs_free(jobs);

  /* An error of the commit: nothing was settled, and it can be given again. */
  honker_open_opts_t at_once = HONKER_OPEN_OPTS_INIT;
  at_once.busy_timeout_ms = 0;
  honker_db_t *impatient = open_with("a.db", &at_once);
  honker_waiter_t *its_waiter = NULL;
  honker_tx_t *tx = NULL;
  OK(honker_waiter_new(impatient, &its_waiter, ERR));
  honker_worker_t *another = worker_on(impatient, its_waiter, 1, "q");
  add(db, "q", "z");
  OK(honker_worker_next(another, 1, 0, &jobs, ERR));
  OK(honker_jobs_get(jobs, 0, &job, ERR));
  honker_jobs_free(jobs);
  done[0] = (honker_settlement_t){HONKER_SETTLE_ACK, 0, job.id, job.serial, 0, {NULL, 0}};
  OK(honker_tx_begin(db, &tx, ERR));
  EXPECT(HONKER_BUSY, honker_worker_settle_next(another, done, 2, 1, 0, &jobs, ERR));
  CHECK(done[0].status == HONKER_BUSY && done[1].status == HONKER_BUSY && jobs == NULL);
  OK(honker_tx_rollback(tx, ERR));
  honker_tx_free(tx);
  EXPECT(HONKER_TIMEOUT, honker_worker_settle_next(another, done, 2, 1, 0, &jobs, ERR));
  CHECK(done[0].status == HONKER_OK && done[1].status == HONKER_LOST);
  honker_worker_free(another);
  honker_waiter_free(its_waiter);
  OK(honker_close(impatient, ERR));
  honker_worker_free(worker);
  honker_waiter_free(waiter);
  OK(honker_close(db, ERR));
}

static void a_consumer_is_ended_like_its_waiter(void) {
  static const honker_status_t wanted[] = {HONKER_OK, HONKER_WOKEN, HONKER_CLOSED,
                                           HONKER_INTERRUPTED, HONKER_CLOSED};
  for (int what = 1; what < 5; what++) {
    honker_db_t *db = open_db("a.db");
    honker_waiter_t *waiter = NULL;
    honker_jobs_t *jobs = NULL;
    OK(honker_waiter_new(db, &waiter, ERR));
    honker_worker_t *worker = worker_on(db, waiter, 1, "empty");
    meanwhile_t m = {db, waiter, what, false};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, after_a_moment, &m) == 0);
    EXPECT(wanted[what], honker_worker_next(worker, 1, 30000, &jobs, ERR));
    m.over = true;
    CHECK(pthread_join(thread, NULL) == 0);
    honker_worker_free(worker);
    honker_waiter_free(waiter);
    honker_close(db, NULL);
  }
}

static void a_listener_hears_what_is_sent_from_now_on(void) {
  honker_db_t *db = open_db("a.db");
  honker_waiter_t *waiter = NULL;
  honker_listener_t *listener = NULL;
  honker_notification_view_t heard = HONKER_NOTIFICATION_VIEW_INIT;
  int64_t id = 0;
  OK(honker_notify(db, NULL, T("c"), T("before"), &id, ERR));
  OK(honker_waiter_new(db, &waiter, ERR));
  OK(honker_listener_new(db, waiter, 1, T("c"), 15000, &listener, ERR));
  OK(honker_notify(db, NULL, T("other"), T("elsewhere"), &id, ERR));
  OK(honker_notify(db, NULL, T("c"), T("first"), &id, ERR));
  OK(honker_notify(db, NULL, T("c"), T(""), &id, ERR));
  OK(honker_listener_next(listener, 10000, &heard, ERR));
  CHECK(bytes_are(heard.payload, "first") && bytes_are(heard.channel, "c") && heard.id == id - 1);
  CHECK(heard.created_at > 1600000000);
  OK(honker_listener_next(listener, 10000, &heard, ERR));
  CHECK(heard.payload.len == 0 && heard.payload.data != NULL && heard.id == id);
  EXPECT(HONKER_TIMEOUT, honker_listener_next(listener, 0, &heard, ERR));
  CHECK(heard.id == 0 && heard.payload.data == NULL);
  honker_listener_free(listener);
  honker_waiter_free(waiter);
  OK(honker_close(db, ERR));
}

static void a_subscription_saves_what_is_finished(void) {
  honker_db_t *db = open_db("a.db");
  honker_waiter_t *waiter = NULL;
  honker_subscription_t *subscription = NULL;
  honker_event_view_t event = HONKER_EVENT_VIEW_INIT;
  honker_subscription_opts_t opts = HONKER_SUBSCRIPTION_OPTS_INIT;
  opts.consumer = (honker_bytes_t){T("me")};
  opts.save_every_n = 0;
  opts.save_every_ms = 0;
  int64_t offsets[3], saved = 0;
  for (int i = 0; i < 3; i++)
    OK(honker_stream_publish(db, NULL, T("t"), NULL, 0, T("event"), &offsets[i], ERR));
  OK(honker_waiter_new(db, &waiter, ERR));
  OK(honker_subscription_new(db, waiter, 1, T("t"), &opts, &subscription, ERR));
  OK(honker_subscription_next(subscription, 0, &event, ERR));
  CHECK(event.offset == offsets[0] && event.key.data == NULL && bytes_are(event.payload, "event"));
  OK(honker_subscription_next(subscription, 0, &event, ERR));
  OK(honker_subscription_save(subscription, ERR));
  OK(honker_stream_get_offset(db, NULL, T("me"), T("t"), &saved, ERR));
  CHECK(saved == offsets[0]);
  OK(honker_subscription_ack(subscription, ERR));
  OK(honker_subscription_save(subscription, ERR));
  OK(honker_stream_get_offset(db, NULL, T("me"), T("t"), &saved, ERR));
  CHECK(saved == offsets[1]);
  OK(honker_subscription_offset(subscription, &saved, ERR));
  CHECK(saved == offsets[1]);
  honker_subscription_free(subscription);
  OK(honker_subscription_new(db, waiter, 1, T("t"), &opts, &subscription, ERR));
  OK(honker_subscription_next(subscription, 0, &event, ERR));
  CHECK(event.offset == offsets[2]);
  EXPECT(HONKER_TIMEOUT, honker_subscription_next(subscription, 20, &event, ERR));
  honker_subscription_free(subscription);
  opts.save_every_n = -1;
  EXPECT(HONKER_INVALID, honker_subscription_new(db, waiter, 1, T("t"), &opts, &subscription, ERR));
  honker_waiter_free(waiter);
  OK(honker_close(db, ERR));
}

static void one_leads_and_the_other_takes_over(void) {
  honker_db_t *db = open_db("a.db");
  honker_waiter_t *waiters[2];
  honker_leader_t *leaders[2];
  honker_fires_t *fires = NULL;
  int64_t leads = 0;
  size_t len = 0;
  OK(honker_scheduler_register(db, NULL, T("s"), T("q"), T("@every 1s"), T("tick"), NULL, ERR));
  for (int i = 0; i < 2; i++) {
    OK(honker_waiter_new(db, &waiters[i], ERR));
    OK(honker_leader_new(db, waiters[i], 1, S(i == 0 ? "one" : "two"), &leaders[i], ERR));
  }
  OK(honker_leader_next(leaders[0], 30000, &fires, ERR));
  OK(honker_fires_len(fires, &len, ERR));
  CHECK(len >= 1);
  honker_fires_free(fires);
  EXPECT(HONKER_TIMEOUT, honker_leader_next(leaders[1], 1200, &fires, ERR));
  OK(honker_leader_leads(leaders[0], &leads, ERR));
  CHECK(leads == 1);
  OK(honker_leader_leads(leaders[1], &leads, ERR));
  CHECK(leads == 0);
  OK(honker_leader_resign(leaders[0], ERR));
  OK(honker_leader_next(leaders[1], 30000, &fires, ERR));
  honker_fires_free(fires);
  for (int i = 0; i < 2; i++) {
    honker_leader_free(leaders[i]);
    honker_waiter_free(waiters[i]);
  }
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_locks") == 0);
  OK(honker_close(db, ERR));
}

static void an_outbox_backs_off(void) {
  honker_db_t *db = open_db("a.db");
  honker_waiter_t *waiter = NULL;
  honker_outbox_t *outbox = NULL;
  honker_jobs_t *jobs = NULL;
  honker_job_view_t job = HONKER_JOB_VIEW_INIT;
  OK(honker_waiter_new(db, &waiter, ERR));
  OK(honker_outbox_new(db, waiter, 1, T("mail"), T("w"), NULL, &outbox, ERR));
  add(db, "_outbox:mail", "one");
  add(db, "_outbox:mail", "two");
  OK(honker_outbox_next(outbox, 10000, &jobs, ERR));
  OK(honker_jobs_get(jobs, 0, &job, ERR));
  int64_t before = integer_of(db, "SELECT unixepoch()");
  OK(honker_outbox_failed(outbox, job.id, job.attempts, T("unreachable"), ERR));
  int64_t run_at = integer_of(db, "SELECT run_at FROM _honker_live WHERE payload = 'one'");
  CHECK(run_at >= before + 5 && run_at <= integer_of(db, "SELECT unixepoch()") + 5);
  honker_jobs_free(jobs);
  OK(honker_outbox_next(outbox, 10000, &jobs, ERR));
  OK(honker_jobs_get(jobs, 0, &job, ERR));
  CHECK(bytes_are(job.payload, "two"));
  OK(honker_outbox_delivered(outbox, job.id, ERR));
  EXPECT(HONKER_LOST, honker_outbox_delivered(outbox, job.id, ERR));
  EXPECT(HONKER_LOST, honker_outbox_failed(outbox, job.id, 1, T("x"), ERR));
  honker_jobs_free(jobs);
  honker_outbox_free(outbox);
  honker_waiter_free(waiter);
  OK(honker_close(db, ERR));
}

static void *saves_a_result(void *argument) {
  sleep_ms(100);
  OK(honker_result_save(argument, NULL, 7, T("done"), 0, ERR));
  return NULL;
}

static void a_result_is_waited_for(void) {
  honker_db_t *db = open_db("a.db");
  honker_waiter_t *waiter = NULL;
  honker_result_wait_t *wait = NULL;
  honker_text_t *value = NULL;
  OK(honker_waiter_new(db, &waiter, ERR));
  OK(honker_result_wait_new(db, waiter, 1, 7, &wait, ERR));
  EXPECT(HONKER_TIMEOUT, honker_result_wait_next(wait, 10, &value, ERR));
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, saves_a_result, db) == 0);
  OK(honker_result_wait_next(wait, 30000, &value, ERR));
  CHECK(pthread_join(thread, NULL) == 0);
  char *text = text_of(value);
  CHECK(strcmp(text, "done") == 0);
  free(text);
  honker_result_wait_free(wait);
  honker_waiter_free(waiter);
  OK(honker_close(db, ERR));
}

static void the_status_shows_the_watcher(void) {
  honker_db_t *db = open_db("a.db");
  honker_waiter_t *waiter = NULL;
  honker_text_t *json = NULL;
  OK(honker_status(db, &json, ERR));
  char *text = text_of(json);
  CHECK(strstr(text, "\"watcher\":null") != NULL);
  CHECK(strstr(text, "a.db\",\"connections\":{\"writers\":1,") != NULL);
  free(text);
  OK(honker_waiter_new(db, &waiter, ERR));
  OK(honker_status(db, &json, ERR));
  text = text_of(json);
  CHECK(strstr(text, "\"backend\":\"auto\"") != NULL);
  CHECK(strstr(text, "\"state\":\"watching\"") != NULL);
  CHECK(strstr(text, "\"warnings\":[") != NULL);
  free(text);
  honker_waiter_free(waiter);
  OK(honker_close(db, ERR));
}

const test_t waiting_tests[] = {
    {"the_status_shows_the_watcher", the_status_shows_the_watcher},
    {"a_commit_wakes", a_commit_wakes},
    {"others_end_a_wait", others_end_a_wait},
    {"a_wake_before_the_wait_counts", a_wake_before_the_wait_counts},
    {"the_descriptor_is_readable_while_there_is_something",
     the_descriptor_is_readable_while_there_is_something},
    {"a_waiter_serves_many_consumers_of_its_database",
     a_waiter_serves_many_consumers_of_its_database},
    {"a_replaced_file_ends_all_waits", a_replaced_file_ends_all_waits},
    {"back_ends_have_names", back_ends_have_names},
    {"a_worker_waits_claims_and_settles", a_worker_waits_claims_and_settles},
    {"settlements_say_whether_an_error_came_after_them",
     settlements_say_whether_an_error_came_after_them},
    {"a_consumer_is_ended_like_its_waiter", a_consumer_is_ended_like_its_waiter},
    {"a_listener_hears_what_is_sent_from_now_on", a_listener_hears_what_is_sent_from_now_on},
    {"a_subscription_saves_what_is_finished", a_subscription_saves_what_is_finished},
    {"one_leads_and_the_other_takes_over", one_leads_and_the_other_takes_over},
    {"an_outbox_backs_off", an_outbox_backs_off},
    {"a_result_is_waited_for", a_result_is_waited_for},
    {NULL, NULL},
};
