/* The harness, and the program: `tests [WORD...]` runs the tests whose name contains one of the
 * words, or all. With HONKER_TEST_TIMES set it tells how long each took. */
#define _GNU_SOURCE
#include "check.h"

#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const char *running = "";
static char directory[512];
static _Thread_local honker_error_t *last_error;
static _Thread_local char last_message[2048];

void check_failed(const char *file, int line, const char *what) {
  fprintf(stderr, "FAILED %s: %s:%d: %s\n", running, file, line, what);
  fflush(stderr);
  _exit(1);
}

honker_error_t **check_error(void) {
  /* Something that a call which forgets to write it leaves behind. */
  last_error = (honker_error_t *)(uintptr_t)0xdead0;
  return &last_error;
}

const char *check_message(void) { return last_message; }

void check_status(honker_status_t wanted, honker_status_t got, const char *file, int line,
                  const char *call) {
  char what[1024];
  size_t len = 0;
  const char *message = honker_error_message(last_error, &len);
  if (got != wanted) {
    snprintf(what, sizeof what, "%s answers %s (%s), not %s", call, honker_status_name(got),
             message, honker_status_name(wanted));
    check_failed(file, line, what);
  }
  if (got >= 0) {
    if (last_error != NULL) check_failed(file, line, "an error although the call has succeeded");
    return;
  }
  if (last_error == NULL) check_failed(file, line, "no error although the call has failed");
  snprintf(last_message, sizeof last_message, "%s", message);
  if (honker_error_status(last_error) != got || len == 0 || strlen(message) != len ||
      strcmp(honker_error_name(last_error), honker_status_name(got)) != 0) {
    check_failed(file, line, "an error that says something else than the status");
  }
  honker_error_free(last_error);
  if (honker_error_status(last_error) != HONKER_MISUSE)
    check_failed(file, line, "the error cannot be freed");
  last_error = NULL;
}

const char *path_of(const char *file) {
  static _Thread_local char paths[4][1024];
  static _Thread_local int next;
  char *path = paths[next++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", directory, file);
  return path;
}

honker_db_t *open_with(const char *file, const honker_open_opts_t *opts) {
  honker_db_t *db = NULL;
  OK(honker_open(S(path_of(file)), opts, &db, ERR));
  return db;
}

honker_db_t *open_db(const char *file) { return open_with(file, NULL); }

int64_t integer_of(honker_db_t *db, const char *sql) {
  honker_rows_t *rows = NULL;
  honker_value_t value;
  OK(honker_query(db, S(sql), NULL, 0, &rows, ERR));
  OK(honker_rows_get(rows, 0, 0, &value, ERR));
  CHECK(value.value_type == HONKER_TYPE_INTEGER);
  honker_rows_free(rows);
  return value.integer;
}

char *text_of(honker_text_t *text) {
  const uint8_t *data = NULL;
  size_t len = 0;
  OK(honker_text_get(text, &data, &len, ERR));
  char *copy = calloc(1, len + 1);
  CHECK(copy != NULL);
  memcpy(copy, data, len);
  honker_text_free(text);
  return copy;
}

bool bytes_are(honker_bytes_t bytes, const char *text) {
  return bytes.data != NULL && bytes.len == strlen(text) &&
         memcmp(bytes.data, text, bytes.len) == 0;
}

bool contains(const char *text, const char *part) { return strstr(text, part) != NULL; }

void sleep_ms(int milliseconds) {
  struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
  nanosleep(&time, NULL);
}

int64_t now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* A test that hangs has failed. */
static void timed_out(int signal) {
  (void)signal;
  check_failed(__FILE__, __LINE__, "takes too long");
}

static int remove_entry(const char *path, const struct stat *stat, int kind, struct FTW *walk) {
  (void)stat, (void)kind, (void)walk;
  return remove(path);
}

static bool is_wanted(const char *name, int words, char **word) {
  for (int i = 0; i < words; i++) {
    if (contains(name, word[i])) return true;
  }
  return words == 0;
}

int main(int argc, char **argv) {
  const test_t *lists[] = {argument_tests, operation_tests, unique_tests,   batch_tests,
                           sql_tests,      file_tests,      thread_tests,   waiting_tests,
                           ready_tests,    worker_tests,    settings_tests, fork_tests,
                           panic_tests};
  const char *parent = getenv("TMPDIR");
  int count = 0;
  int64_t begin = now_ms();
  for (size_t list = 0; list < sizeof lists / sizeof lists[0]; list++) {
    for (const test_t *test = lists[list]; test->name != NULL; test++) {
      if (!is_wanted(test->name, argc - 1, argv + 1)) continue;
      running = test->name;
      snprintf(directory, sizeof directory, "%s/honker-c-XXXXXX", parent != NULL ? parent : "/tmp");
      CHECK(mkdtemp(directory) != NULL);
      signal(SIGALRM, timed_out);
      alarm(600);
      int64_t start = now_ms();
      test->run();
      if (getenv("HONKER_TEST_TIMES") != NULL)
        fprintf(stderr, "%6lld ms %s\n", (long long)(now_ms() - start), running);
      nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
      count++;
    }
  }
  printf("%d tests passed in %lld ms\n", count, (long long)(now_ms() - begin));
  return count == 0;
}
