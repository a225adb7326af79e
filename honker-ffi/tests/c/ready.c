/* One waiter for many consumers, as an event loop uses it: the descriptor, the tokens of those that
 * have work, and what ends it. */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/epoll.h>
#include <unistd.h>
#endif

#include "check.h"

enum { ROOM = 8 };

static void send(honker_db_t *db, const char *channel, const char *payload) {
  int64_t id = 0;
  OK(honker_notify(db, NULL, S(channel), S(payload), &id, ERR));
}

static honker_listener_t *listener_on(honker_db_t *db, honker_waiter_t *waiter, uint64_t token,
                                      const char *channel) {
  honker_listener_t *listener = NULL;
  OK(honker_listener_new(db, waiter, token, S(channel), -1, &listener, ERR));
  return listener;
}

/* Whether it hears `payload`; NULL for nothing. */
static bool hears(honker_listener_t *listener, const char *payload) {
  honker_notification_view_t heard = HONKER_NOTIFICATION_VIEW_INIT;
  honker_status_t status = honker_listener_next(listener, 0, &heard, NULL);
  CHECK(status == HONKER_OK || status == HONKER_TIMEOUT);
  return payload == NULL ? status == HONKER_TIMEOUT : bytes_are(heard.payload, payload);
}

static int order(const void *a, const void *b) {
  uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
  return left < right ? -1 : left > right;
}

/* Whether exactly these are named, in whatever order. */
static bool names(honker_waiter_t *waiter, const uint64_t *wanted, size_t len) {
  uint64_t tokens[ROOM];
  size_t count = ROOM + 1;
  OK(honker_waiter_ready(waiter, tokens, ROOM, &count, ERR));
  CHECK(count <= ROOM);
  qsort(tokens, count, sizeof tokens[0], order);
  for (size_t i = count; i < ROOM; i++) CHECK(tokens[i] == 0);
  return count == len && (len == 0 || memcmp(tokens, wanted, len * sizeof tokens[0]) == 0);
}

#define NAMES(waiter, ...)                       \
  names(waiter, (const uint64_t[]){__VA_ARGS__}, \
        sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))
#define NAMES_NONE(waiter) names(waiter, NULL, 0)

static int descriptor_of(honker_waiter_t *waiter) {
  int64_t fd = -1;
  OK(honker_waiter_fd(waiter, &fd, ERR));
  return (int)fd;
}

static bool readable_within(int fd, int time_ms) {
  struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
  return poll(&poll_fd, 1, time_ms) == 1;
}

/* Polls and asks until somebody is named. */
static uint64_t named_by_descriptor(honker_waiter_t *waiter) {
  uint64_t token = 0;
  size_t count = 0;
  while (count == 0) {
    CHECK(readable_within(descriptor_of(waiter), 60000));
    OK(honker_waiter_ready(waiter, &token, 1, &count, ERR));
  }
  return token;
}

static void a_commit_names_those_it_is_for(void) {
  honker_db_t *db = open_db("a.db");
  honker_waiter_t *waiter = NULL;
  honker_result_wait_t *result = NULL;
  honker_updates_t *updates = NULL;
  honker_text_t *value = NULL;
  OK(honker_waiter_new(db, &waiter, ERR));
  CHECK(NAMES_NONE(waiter));
  honker_listener_t *a = listener_on(db, waiter, 1, "a");
  honker_listener_t *b = listener_on(db, waiter, UINT64_MAX, "b");
  OK(honker_result_wait_new(db, waiter, 3, 77, &result, ERR));
  OK(honker_updates_new(db, waiter, 4, &updates, ERR));
  /* Each once: it has not looked yet. */
  CHECK(NAMES(waiter, 1, 3, 4, UINT64_MAX));
  CHECK(NAMES_NONE(waiter));
  CHECK(hears(a, NULL) && hears(b, NULL));
  EXPECT(HONKER_TIMEOUT, honker_result_wait_next(result, 0, &value, ERR));
  EXPECT(HONKER_TIMEOUT, honker_updates_next(updates, 0, ERR));

  send(db, "b", "x");
  CHECK(NAMES(waiter, 4, UINT64_MAX));
  /* Who has not looked to the end is not named again. */
  send(db, "b", "y");
  CHECK(NAMES_NONE(waiter));
  CHECK(hears(b, "x") && hears(b, "y") && hears(b, NULL));
  OK(honker_updates_next(updates, 0, ERR));
  EXPECT(HONKER_TIMEOUT, honker_updates_next(updates, 0, ERR));
  OK(honker_result_save(db, NULL, 77, T("done"), 0, ERR));
  CHECK(NAMES(waiter, 3, 4));
  OK(honker_result_wait_next(result, 0, &value, ERR));
  char *text = text_of(value);
  CHECK(strcmp(text, "done") == 0);
  free(text);
  OK(honker_updates_next(updates, 0, ERR));
  EXPECT(HONKER_TIMEOUT, honker_updates_next(updates, 0, ERR));
  honker_result_wait_free(result);
  honker_updates_free(updates);
  honker_listener_free(a);
  honker_listener_free(b);
  honker_waiter_free(waiter);
  OK(honker_close(db, ERR));
}

static void what_does_not_fit_stays_ready(void) {
  honker_db_t *db = open_db("a.db");
  honker_waiter_t *waiter = NULL;
  honker_listener_t *listeners[5];
  uint64_t seen = 0, tokens[2];
  size_t count = 9;
  OK(honker_waiter_new(db, &waiter, ERR));
  int fd = descriptor_of(waiter);
  for (uint64_t i = 0; i < 5; i++) listeners[i] = listener_on(db, waiter, i, "c");
  for (int round = 0; round < 2; round++) {
    /* Without room nobody is named, and nothing is over. */
    OK(honker_waiter_ready(waiter, NULL, 0, &count, ERR));
    CHECK(count == 0 && readable_within(fd, 0));
    seen = 0;
    for (int call = 0; call < 3; call++) {
      CHECK(readable_within(fd, 0));
      OK(honker_waiter_ready(waiter, tokens, 2, &count, ERR));
      CHECK(count == (call < 2 ? 2 : 1));
      for (size_t i = 0; i < count; i++) seen |= UINT64_C(1) << tokens[i];
    }
    CHECK(seen == 31);
    for (int i = 0; i < 5; i++)
      CHECK(round == 0 ? hears(listeners[i], NULL) : hears(listeners[i], "x"));
    if (round == 0) send(db, "c", "x");
  }
  EXPECT(HONKER_NULL_ARG, honker_waiter_ready(waiter, NULL, 1, &count, ERR));
  EXPECT(HONKER_INVALID, honker_waiter_ready(waiter, tokens, SIZE_MAX, &count, ERR));
  for (int i = 0; i < 5; i++) honker_listener_free(listeners[i]);
  honker_waiter_free(waiter);
  OK(honker_close(db, ERR));
}

static void who_is_freed_is_not_named(void) {
  honker_db_t *db = open_db("a.db");
  honker_waiter_t *waiter = NULL;
  OK(honker_waiter_new(db, &waiter, ERR));
  honker_listener_t *stays = listener_on(db, waiter, 1, "c"),
                    *goes = listener_on(db, waiter, 2, "c");
  honker_listener_free(goes);
  CHECK(NAMES(waiter, 1));
  CHECK(hears(stays, NULL));
  goes = listener_on(db, waiter, 3, "c");
  CHECK(NAMES(waiter, 3) && hears(goes, NULL));
  send(db, "c", "x");
  CHECK(readable_within(descriptor_of(waiter), 60000));
  honker_listener_free(goes);
  CHECK(NAMES(waiter, 1));
  honker_listener_free(stays);
  honker_waiter_free(waiter);
  OK(honker_close(db, ERR));
}

/* Without a clock of the caller's: a job that becomes due, a claim that has to be prolonged, a
 * fallback look. */
static void deadlines_make_the_descriptor_readable(void) {
  honker_db_t *db = open_db("a.db");
  honker_waiter_t *waiter = NULL;
  honker_worker_t *worker = NULL;
  honker_jobs_t *jobs = NULL;
  honker_job_view_t job = HONKER_JOB_VIEW_INIT;
  honker_enqueue_opts_t soon = HONKER_ENQUEUE_OPTS_INIT;
  honker_worker_queue_t queue = HONKER_WORKER_QUEUE_INIT;
  honker_worker_opts_t opts = HONKER_WORKER_OPTS_INIT;
  int64_t id = 0;
  soon.delay_s = 1;
  queue.name = (honker_bytes_t){T("q")};
  opts.fallback_ms = -1;
  opts.visibility_timeout_s = 4;
  OK(honker_enqueue(db, NULL, T("q"), T("due"), &soon, &id, ERR));
  OK(honker_waiter_new(db, &waiter, ERR));
  OK(honker_worker_new(db, waiter, 5, &queue, 1, T("w"), &opts, &worker, ERR));
  honker_status_t status;
  while ((status = honker_worker_next(worker, 1, 0, &jobs, ERR)) == HONKER_TIMEOUT)
    CHECK(named_by_descriptor(waiter) == 5);
  CHECK(status == HONKER_OK);
  OK(honker_jobs_get(jobs, 0, &job, ERR));
  CHECK(job.id == id);
  int64_t first = job.claim_expires_at;
  honker_jobs_free(jobs);

  /* For longer than the claim was for, no look but those that are asked for. */
  while (integer_of(db, "SELECT claim_expires_at FROM _honker_live") <= first + 3) {
    EXPECT(HONKER_TIMEOUT, honker_worker_next(worker, 1, 0, &jobs, ERR));
    CHECK(named_by_descriptor(waiter) == 5);
  }
  CHECK(integer_of(db, "SELECT attempts FROM _honker_live") == 1);
  honker_worker_free(worker);

  honker_listener_t *listener = NULL;
  OK(honker_listener_new(db, waiter, 6, T("c"), 20, &listener, ERR));
  CHECK(hears(listener, NULL));
  CHECK(readable_within(descriptor_of(waiter), 60000));
  /* It was for nobody; and the next time again. */
  CHECK(NAMES_NONE(waiter) && readable_within(descriptor_of(waiter), 60000));
  honker_listener_free(listener);
  honker_waiter_free(waiter);
  OK(honker_close(db, ERR));
}

static void *sends_many(void *db) {
  char payload[16];
  for (int i = 0; i < 200; i++) {
    snprintf(payload, sizeof payload, "%d", i);
    send(db, "c", payload);
    if (i % 40 == 0) sleep_ms(5);
  }
  return NULL;
}

/* Level-triggered within an edge-triggered set, as Go and tokio have it, and that set within a
 * `poll`, as a loop has it that is a guest of another. */
static void it_works_nested_in_an_edge_triggered_set(void) {
#ifdef __linux__
  honker_db_t *db = open_db("a.db");
  honker_waiter_t *waiter = NULL;
  OK(honker_waiter_new(db, &waiter, ERR));
  honker_listener_t *listener = listener_on(db, waiter, 1, "c");
  int set = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN | EPOLLET};
  CHECK(set >= 0 && epoll_ctl(set, EPOLL_CTL_ADD, descriptor_of(waiter), &event) == 0);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, sends_many, db) == 0);
  char payload[16];
  int heard = 0;
  while (heard < 200) {
    CHECK(readable_within(set, 60000) && epoll_wait(set, &event, 1, 0) == 1);
    uint64_t token = 0;
    size_t count = 0;
    honker_status_t status;
    while ((status = honker_waiter_ready(waiter, &token, 1, &count, NULL)) == HONKER_OK &&
           count == 1) {
      snprintf(payload, sizeof payload, "%d", heard);
      while (hears(listener, payload)) snprintf(payload, sizeof payload, "%d", ++heard);
    }
    CHECK(status == HONKER_OK);
  }
  CHECK(pthread_join(thread, NULL) == 0);
  close(set);
  honker_listener_free(listener);
  honker_waiter_free(waiter);
  OK(honker_close(db, ERR));
#endif
}

static void a_wake_is_told_with_the_tokens(void) {
  honker_db_t *db = open_db("a.db");
  honker_waiter_t *waiter = NULL;
  uint64_t tokens[ROOM];
  size_t count = 0;
  OK(honker_waiter_new(db, &waiter, ERR));
  honker_listener_t *listener = listener_on(db, waiter, 7, "c");
  OK(honker_waiter_wake(waiter, ERR));
  OK(honker_waiter_wake(waiter, ERR));
  CHECK(readable_within(descriptor_of(waiter), 0));
  EXPECT(HONKER_WOKEN, honker_waiter_ready(waiter, tokens, ROOM, &count, ERR));
  CHECK(count == 1 && tokens[0] == 7);
  CHECK(NAMES_NONE(waiter));
  /* Its consumers are told as well, each once. */
  honker_notification_view_t heard = HONKER_NOTIFICATION_VIEW_INIT;
  EXPECT(HONKER_WOKEN, honker_listener_next(listener, 60000, &heard, ERR));
  EXPECT(HONKER_TIMEOUT, honker_listener_next(listener, 10, &heard, ERR));
  honker_listener_free(listener);
  honker_waiter_free(waiter);
  OK(honker_close(db, ERR));
}

static void its_end_is_told_for_good(void) {
  uint64_t tokens[ROOM];
  size_t count = 9;
  for (int what = 0; what < 3; what++) {
    honker_db_t *db = open_db("a.db");
    honker_waiter_t *waiter = NULL;
    OK(honker_waiter_new(db, &waiter, ERR));
    honker_listener_t *listener = listener_on(db, waiter, 1, "c");
    honker_notification_view_t heard = HONKER_NOTIFICATION_VIEW_INIT;
    int fd = descriptor_of(waiter);
    CHECK(NAMES(waiter, 1) && hears(listener, NULL));
    if (what == 0) {
      OK(honker_close(db, ERR));
    } else if (what == 1) {
      honker_waiter_free(waiter);
      EXPECT(HONKER_MISUSE, honker_waiter_ready(waiter, tokens, ROOM, &count, ERR));
      EXPECT(HONKER_CLOSED, honker_listener_next(listener, 60000, &heard, ERR));
    } else {
      OK(honker_close(open_db("b.db"), ERR));
      CHECK(rename(path_of("b.db"), path_of("a.db")) == 0);
      honker_status_t status;
      do {
        CHECK(readable_within(fd, 60000));
        status = honker_waiter_ready(waiter, tokens, ROOM, &count, NULL);
      } while (status == HONKER_OK);
      CHECK(status == HONKER_WATCHER);
    }
    for (int again = 0; what != 1 && again < 2; again++) {
      CHECK(readable_within(fd, 0));
      EXPECT(what == 0 ? HONKER_CLOSED : HONKER_WATCHER,
             honker_waiter_ready(waiter, tokens, ROOM, &count, ERR));
      CHECK(count == 0);
    }
    honker_listener_free(listener);
    honker_waiter_free(waiter);
    honker_close(db, NULL);
  }
}

static void *waits_for_all(void *waiter) {
  uint64_t tokens[ROOM];
  size_t count = 0;
  honker_status_t status;
  while ((status = honker_wait(waiter, -1, NULL)) == HONKER_OK)
    (void)honker_waiter_ready(waiter, tokens, ROOM, &count, NULL);
  CHECK(status == HONKER_CLOSED);
  return NULL;
}

static void *hears_all(void *argument) {
  honker_listener_t *listener = argument;
  honker_notification_view_t heard = HONKER_NOTIFICATION_VIEW_INIT;
  char payload[16];
  for (int i = 0; i < 200; i++) {
    snprintf(payload, sizeof payload, "%d", i);
    OK(honker_listener_next(listener, 60000, &heard, ERR));
    CHECK(bytes_are(heard.payload, payload));
  }
  return NULL;
}

/* Consumers with a thread of their own, beside one that waits for all: none takes another's wake.
 */
static void threads_share_a_waiter(void) {
  honker_db_t *db = open_db("a.db");
  honker_waiter_t *waiter = NULL;
  honker_listener_t *listeners[3];
  pthread_t threads[3], all;
  OK(honker_waiter_new(db, &waiter, ERR));
  CHECK(pthread_create(&all, NULL, waits_for_all, waiter) == 0);
  for (uint64_t i = 0; i < 3; i++) {
    listeners[i] = listener_on(db, waiter, i, "c");
    CHECK(pthread_create(&threads[i], NULL, hears_all, listeners[i]) == 0);
  }
  sends_many(db);
  for (int i = 0; i < 3; i++) {
    CHECK(pthread_join(threads[i], NULL) == 0);
    honker_listener_free(listeners[i]);
  }
  honker_waiter_free(waiter);
  CHECK(pthread_join(all, NULL) == 0);
  OK(honker_close(db, ERR));
}

/* Also what was committed before the first wait, by whomever. */
static void updates_tell_of_every_commit(void) {
  honker_db_t *db = open_db("a.db"), *other = open_db("a.db");
  honker_waiter_t *waiter = NULL;
  honker_updates_t *updates = NULL;
  OK(honker_waiter_new(db, &waiter, ERR));
  OK(honker_updates_new(db, waiter, 1, &updates, ERR));
  EXPECT(HONKER_TIMEOUT, honker_updates_next(updates, 0, ERR));
  send(other, "c", "x");
  OK(honker_updates_next(updates, 60000, ERR));
  EXPECT(HONKER_TIMEOUT, honker_updates_next(updates, 0, ERR));
  send(db, "c", "y");
  OK(honker_updates_next(updates, 0, ERR));
  honker_waiter_free(waiter);
  EXPECT(HONKER_CLOSED, honker_updates_next(updates, -1, ERR));
  honker_updates_free(updates);
  OK(honker_close(other, ERR));
  OK(honker_close(db, ERR));
}

const test_t ready_tests[] = {
    {"a_commit_names_those_it_is_for", a_commit_names_those_it_is_for},
    {"what_does_not_fit_stays_ready", what_does_not_fit_stays_ready},
    {"who_is_freed_is_not_named", who_is_freed_is_not_named},
    {"deadlines_make_the_descriptor_readable", deadlines_make_the_descriptor_readable},
    {"it_works_nested_in_an_edge_triggered_set", it_works_nested_in_an_edge_triggered_set},
    {"a_wake_is_told_with_the_tokens", a_wake_is_told_with_the_tokens},
    {"its_end_is_told_for_good", its_end_is_told_for_good},
    {"threads_share_a_waiter", threads_share_a_waiter},
    {"updates_tell_of_every_commit", updates_tell_of_every_commit},
    {NULL, NULL},
};
