/* What the C ABI does in a given time: the reference point for the language packages, whose own programs for this are in
 * bindings/<language>/bench. `bench DIRECTORY` answers lines on standard input with lines of JSON:
 *
 *   enqueue N      N jobs, a commit each                                   {"seconds": 0.1}
 *   claim_ack N    N times one job is claimed and acknowledged             {"seconds": 0.1}
 *   batch N        N jobs are claimed and acknowledged by the hundred      {"seconds": 0.1}
 *   wake N         N times from before an enqueue to the job in a hand     {"p50_us": 60.0}
 */
#define _GNU_SOURCE
#include "honker.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH = 100, VISIBILITY_S = 300 };

static honker_db_t *db;
static char queue[32];

#define TEXT(text) (const uint8_t *)(text), strlen(text)

static void check(honker_status_t status) {
  if (status >= 0) return;
  fprintf(stderr, "%s\n", honker_status_name(status));
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void enqueue(honker_tx_t *tx, int64_t n) {
  char payload[32];
  snprintf(payload, sizeof payload, "{\"n\":%lld}", (long long)n);
  int64_t id;
  check(honker_enqueue(db, tx, TEXT(queue), TEXT(payload), NULL, &id, NULL));
}

static void fill(int64_t n) {
  honker_tx_t *tx;
  check(honker_tx_begin(db, &tx, NULL));
  for (int64_t i = 0; i < n; i++) enqueue(tx, i);
  check(honker_tx_commit(tx, NULL));
  honker_tx_free(tx);
}

/* Claims `n` jobs, if there are as many, and acknowledges them; how many there were. */
static size_t claim_and_ack(int64_t n) {
  honker_jobs_t *jobs;
  check(honker_claim(db, NULL, TEXT(queue), TEXT("w"), n, VISIBILITY_S, &jobs, NULL));
  if (jobs == NULL) return 0;
  size_t len;
  check(honker_jobs_len(jobs, &len, NULL));
  int64_t ids[BATCH], acked;
  for (size_t i = 0; i < len; i++) {
    honker_job_view_t job = HONKER_JOB_VIEW_INIT;
    check(honker_jobs_get(jobs, i, &job, NULL));
    ids[i] = job.id;
  }
  honker_jobs_free(jobs);
  if (n == 1) {
    check(honker_ack(db, NULL, ids[0], TEXT("w"), NULL));
  } else {
    check(honker_ack_batch(db, NULL, ids, len, TEXT("w"), &acked, NULL));
  }
  return len;
}

static double bench_enqueue(int64_t n) {
  double since = now();
  for (int64_t i = 0; i < n; i++) enqueue(NULL, i);
  return now() - since;
}

static double bench_claim_ack(int64_t n) {
  fill(n);
  double since = now();
  for (int64_t i = 0; i < n; i++) claim_and_ack(1);
  return now() - since;
}

static double bench_batch(int64_t n) {
  fill(n);
  double since = now();
  while (claim_and_ack(BATCH) > 0) {
  }
  return now() - since;
}

typedef struct {
  honker_waiter_t *waiter;
  honker_worker_t *worker;
  int64_t n;
  double *at; /* when each job was in the worker's hands */
} waiting_t;

static void *wait_for_jobs(void *argument) {
  waiting_t *waiting = argument;
  for (int64_t i = 0; i < waiting->n; i++) {
    honker_jobs_t *jobs;
    check(honker_worker_next(waiting->worker, 1, -1, &jobs, NULL));
    waiting->at[i] = now();
    honker_job_view_t job = HONKER_JOB_VIEW_INIT;
    check(honker_jobs_get(jobs, 0, &job, NULL));
    check(honker_ack(db, NULL, job.id, TEXT("w"), NULL));
    honker_jobs_free(jobs);
  }
  return NULL;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double bench_wake(int64_t n) {
  waiting_t waiting = {.n = n, .at = calloc((size_t)n, sizeof(double))};
  double *since = calloc((size_t)n, sizeof(double));
  check(honker_waiter_new(db, &waiting.waiter, NULL));
  honker_worker_queue_t only = HONKER_WORKER_QUEUE_INIT;
  only.name = (honker_bytes_t){TEXT(queue)};
  check(honker_worker_new(db, waiting.waiter, 0, &only, 1, TEXT("w"), NULL, &waiting.worker, NULL));
  pthread_t thread;
  pthread_create(&thread, NULL, wait_for_jobs, &waiting);
  for (int64_t i = 0; i < n; i++) {
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    since[i] = now();
    enqueue(NULL, i);
  }
  pthread_join(thread, NULL);
  honker_worker_free(waiting.worker);
  honker_waiter_free(waiting.waiter);
  for (int64_t i = 0; i < n; i++) since[i] = waiting.at[i] - since[i];
  qsort(since, (size_t)n, sizeof(double), compare);
  double median = since[n / 2] * 1e6;
  free(since);
  free(waiting.at);
  return median;
}

int main(int argc, char **argv) {
  char path[4096], line[64], what[32];
  long long n;
  snprintf(path, sizeof path, "%s/bench.db", argc > 1 ? argv[1] : ".");
  check(honker_open(TEXT(path), NULL, &db, NULL));
  for (int turn = 0; fgets(line, sizeof line, stdin) && sscanf(line, "%31s %lld", what, &n) == 2; turn++) {
    snprintf(queue, sizeof queue, "q%d", turn);
    if (strcmp(what, "wake") == 0) {
      printf("{\"p50_us\": %.1f}\n", bench_wake(n));
    } else {
      double seconds = strcmp(what, "enqueue") == 0     ? bench_enqueue(n)
                       : strcmp(what, "claim_ack") == 0 ? bench_claim_ack(n)
                                                        : bench_batch(n);
      printf("{\"seconds\": %.6f}\n", seconds);
    }
    fflush(stdout);
  }
  check(honker_close(db, NULL));
}
