/* The loops that bench/instructions/run counts: each call through libhonker, of a program that uses
 * only what the oldest files know. `loops LOOP COUNT FILE`; with the loop `open` it makes the file
 * and does no more.
 *
 * Only the loop itself is counted, and only this thread. For it clocks stand still, so that nothing
 * happens by the time: the library takes them from here, because this program comes first where
 * symbols are looked up. */
#include <honker.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <valgrind/callgrind.h>

enum { BATCH = 100, JOBS_MAX = 10000 };

static const char *const PAYLOAD = "{\"to\":\"alice@example.com\",\"order_id\":42}";

/* Far ahead of the machine's, so that no wait until a point in time comes to its end. */
enum { NOW_S = 2000000000 };

/* Other threads move it on by a little whenever they look, or they would look for ever. */
enum { LOOK_NS = 1000 };
static pthread_t counted;
static atomic_long looks;

int clock_gettime(clockid_t clock, struct timespec *time) {
  (void)clock;
  if (!pthread_equal(pthread_self(), counted)) looks++;
  time->tv_sec = NOW_S;
  time->tv_nsec = looks * LOOK_NS;
  return 0;
}

int gettimeofday(struct timeval *time, void *zone) {
  (void)zone;
  time->tv_sec = NOW_S;
  time->tv_usec = 0;
  return 0;
}

time_t time(time_t *time) {
  if (time) *time = NOW_S;
  return NOW_S;
}

static honker_db_t *db;
static honker_error_t *error;

static void expect(int is_so, const char *what) {
  if (is_so) return;
  fprintf(stderr, "loops: %s\n", what);
  exit(1);
}

static void ok(honker_status_t status) {
  if (status == HONKER_OK) return;
  fprintf(stderr, "loops: status %d: %s\n", status, honker_error_message(error, NULL));
  exit(1);
}

#define TEXT(text) (const uint8_t *)(text), strlen(text)

/* --- What comes before, and what is counted. --- */

static void enqueue(honker_tx_t *tx) {
  int64_t id;
  ok(honker_enqueue(db, tx, TEXT("emails"), TEXT(PAYLOAD), NULL, &id, &error));
}

static void enqueue_with_options(void) {
  honker_enqueue_opts_t opts = HONKER_ENQUEUE_OPTS_INIT;
  opts.priority = 1;
  opts.max_attempts = 5;
  int64_t id;
  ok(honker_enqueue(db, NULL, TEXT("emails"), TEXT(PAYLOAD), &opts, &id, &error));
}

static void enqueue_in_one(int count) {
  honker_tx_t *tx;
  ok(honker_tx_begin(db, &tx, &error));
  for (int i = 0; i < count; i++) enqueue(tx);
  ok(honker_tx_commit(tx, &error));
}

/* Claims that many jobs; their ids. */
static void claim(int count, int64_t *ids) {
  honker_jobs_t *jobs;
  ok(honker_claim(db, NULL, TEXT("emails"), TEXT("worker"), count, 300, &jobs, &error));
  for (int i = 0; i < count; i++) {
    honker_job_view_t job = HONKER_JOB_VIEW_INIT;
    ok(honker_jobs_get(jobs, (size_t)i, &job, &error));
    ids[i] = job.id;
  }
  honker_jobs_free(jobs);
}

static void ack(const int64_t *ids, int count) {
  int64_t acked;
  ok(honker_ack_batch(db, NULL, ids, (size_t)count, TEXT("worker"), &acked, &error));
  expect(acked == count, "not acked");
}

static honker_worker_t *new_worker(const char *name, const char *id) {
  honker_worker_queue_t queue = HONKER_WORKER_QUEUE_INIT;
  queue.name = (honker_bytes_t){TEXT(name)};
  honker_waiter_t *waiter;
  ok(honker_waiter_new(db, &waiter, &error));
  honker_worker_t *worker;
  ok(honker_worker_new(db, waiter, 0, &queue, 1, TEXT(id), NULL, &worker, &error));
  return worker;
}

/* Waits for a job of a queue that has none, to the end. */
static void *wait_in_vain(void *worker) {
  honker_jobs_t *jobs;
  expect(honker_worker_next(worker, 1, -1, &jobs, NULL) != HONKER_OK,
         "a job for who waits in vain");
  return NULL;
}

static void settle_and_claim(int count) {
  honker_worker_t *worker = new_worker("emails", "worker");
  honker_settlement_t ack = {HONKER_SETTLE_ACK, HONKER_OK, 0, 0, 0, {NULL, 0}};
  for (int i = 0; i <= count; i++) {
    honker_jobs_t *jobs;
    ok(honker_worker_settle_next(worker, &ack, i > 0, 1, 0, &jobs, &error));
    honker_job_view_t job = HONKER_JOB_VIEW_INIT;
    ok(honker_jobs_get(jobs, 0, &job, &error));
    expect(ack.status == HONKER_OK, "not settled");
    ack.id = job.id;
    ack.serial = job.serial;
    honker_jobs_free(jobs);
    /* The first has nothing to settle. */
    if (i == 0) CALLGRIND_TOGGLE_COLLECT;
  }
  CALLGRIND_TOGGLE_COLLECT;
  honker_worker_free(worker);
}

static void enqueue_beside_a_waiter(int count) {
  honker_worker_t *worker = new_worker("others", "waiter");
  pthread_t thread;
  expect(pthread_create(&thread, NULL, wait_in_vain, worker) == 0, "no thread");
  /* It has read the file, and sleeps. */
  nanosleep(&(struct timespec){0, 500000000}, NULL);
  CALLGRIND_TOGGLE_COLLECT;
  for (int i = 0; i < count; i++) enqueue(NULL);
  CALLGRIND_TOGGLE_COLLECT;
  pthread_detach(thread);
}

int main(int argc, char **argv) {
  expect(argc == 4, "usage: loops LOOP COUNT FILE");
  const char *loop = argv[1];
  const int count = atoi(argv[2]);
  int64_t ids[JOBS_MAX];
  counted = pthread_self();
  expect(count > 0 && count % BATCH == 0 && count < JOBS_MAX,
         "COUNT is a multiple of 100 below 10000");
  ok(honker_open(TEXT(argv[3]), NULL, &db, &error));
  if (strcmp(loop, "open") == 0) {
    ok(honker_close(db, &error));
    return 0;
  }
  /* So many that the queue is never empty, and all that is made once is made. */
  enqueue(NULL);
  claim(1, ids);
  ack(ids, 1);
  enqueue_in_one(count + BATCH);

  if (strcmp(loop, "settle-claim") == 0) {
    settle_and_claim(count);
  } else if (strcmp(loop, "enqueue-wake") == 0) {
    enqueue_beside_a_waiter(count);
  } else {
    const int acks = strncmp(loop, "ack", 3) == 0;
    if (acks) claim(count, ids);
    CALLGRIND_TOGGLE_COLLECT;
    if (strcmp(loop, "enqueue") == 0) {
      for (int i = 0; i < count; i++) enqueue(NULL);
    } else if (strcmp(loop, "enqueue-options") == 0) {
      for (int i = 0; i < count; i++) enqueue_with_options();
    } else if (strcmp(loop, "enqueue-100") == 0) {
      for (int i = 0; i < count; i += BATCH) enqueue_in_one(BATCH);
    } else if (strcmp(loop, "claim") == 0) {
      for (int i = 0; i < count; i++) claim(1, ids);
    } else if (strcmp(loop, "claim-100") == 0) {
      for (int i = 0; i < count; i += BATCH) claim(BATCH, ids);
    } else if (strcmp(loop, "ack") == 0) {
      for (int i = 0; i < count; i++) ok(honker_ack(db, NULL, ids[i], TEXT("worker"), &error));
    } else if (strcmp(loop, "ack-100") == 0) {
      for (int i = 0; i < count; i += BATCH) ack(ids + i, BATCH);
    } else {
      expect(0, "no such loop");
    }
    CALLGRIND_TOGGLE_COLLECT;
  }
  ok(honker_close(db, &error));
  return 0;
}
