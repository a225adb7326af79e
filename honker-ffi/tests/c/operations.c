/* What the operations do and answer: their successes, the outcomes that are to be expected, and
 * their own errors. */
#include <stdlib.h>
#include <time.h>

#include "check.h"

static const int64_t LARGEST = INT64_MAX, SMALLEST = INT64_MIN;

static int64_t put(honker_db_t *db, const char *queue, const char *payload) {
  int64_t id = 0;
  OK(honker_enqueue(db, NULL, S(queue), S(payload), NULL, &id, ERR));
  CHECK(id > 0);
  return id;
}

/* Claims the one job that is to be had; its id. */
static int64_t take(honker_db_t *db, const char *queue, const char *worker, const char *payload) {
  honker_jobs_t *jobs = NULL;
  size_t len = 0;
  honker_job_view_t job = HONKER_JOB_VIEW_INIT;
  OK(honker_claim(db, NULL, S(queue), S(worker), 1, 60, &jobs, ERR));
  OK(honker_jobs_len(jobs, &len, ERR));
  CHECK(len == 1);
  OK(honker_jobs_get(jobs, 0, &job, ERR));
  CHECK(bytes_are(job.queue, queue) && bytes_are(job.payload, payload) &&
        bytes_are(job.worker_id, worker));
  int64_t id = job.id;
  honker_jobs_free(jobs);
  return id;
}

static void nothing_to_take(honker_db_t *db, const char *queue) {
  honker_jobs_t *jobs = (honker_jobs_t *)(void *)&jobs;
  EXPECT(HONKER_EMPTY, honker_claim(db, NULL, S(queue), T("nobody"), -1, 60, &jobs, ERR));
  CHECK(jobs == NULL);
}

static void statuses_have_names_and_are_transient_or_not(void) {
  static const struct {
    honker_status_t status;
    const char *name;
  } names[] = {
#define STATUS(name) {name, #name},
#include "statuses.h"
#undef STATUS
  };
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    CHECK(strcmp(honker_status_name(names[i].status), names[i].name) == 0);
  }
  CHECK(sizeof names / sizeof names[0] >= 30);
  CHECK(strcmp(honker_status_name(12345), "HONKER_UNKNOWN") == 0);
  CHECK(strcmp(honker_status_name(INT32_MIN), "HONKER_UNKNOWN") == 0);

  CHECK(honker_status_is_transient(HONKER_BUSY) == 1 && honker_status_is_transient(HONKER_FULL) == 1);
  CHECK(honker_status_is_transient(HONKER_OK) == 0 && honker_status_is_transient(HONKER_LOST) == 0);
  CHECK(honker_status_is_transient(HONKER_CORRUPT) == 0 && honker_status_is_transient(-12345) == 0);
}

static void the_library_tells_its_version(void) {
  CHECK(honker_abi_version() == HONKER_ABI_VERSION);
  CHECK(contains(honker_version(), "."));
  const char *info = honker_build_info();
  static const char *const keys[] = {"version",         "abi_version",    "commit",
                                     "target",          "sqlite_version", "sqlite_source_id",
                                     "lock_safe_files", "features"};
  for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) CHECK(contains(info, keys[i]));
  CHECK(contains(info, honker_version()));
  CHECK(honker_build_info() == info);
}

static void errors_carry_what_sqlite_says(void) {
  honker_db_t *db = open_db("a.db");
  honker_tx_t *tx = NULL;
  honker_error_t *error = NULL;
  int64_t changes = 7;
  OK(honker_tx_begin(db, &tx, ERR));
  OK(honker_tx_execute(tx, T("CREATE TABLE a (b INTEGER PRIMARY KEY)"), NULL, 0, &changes, ERR));
  OK(honker_tx_execute(tx, T("INSERT INTO a VALUES (1)"), NULL, 0, &changes, ERR));
  CHECK(changes == 1);
  CHECK(honker_tx_execute(tx, T("INSERT INTO a VALUES (1)"), NULL, 0, &changes, &error) ==
        HONKER_CONSTRAINT);
  CHECK(changes == 0);
  CHECK(honker_error_status(error) == HONKER_CONSTRAINT);
  CHECK(strcmp(honker_error_name(error), "HONKER_CONSTRAINT") == 0);
  CHECK(honker_error_sqlite_code(error) == 19);            /* SQLITE_CONSTRAINT */
  CHECK(honker_error_sqlite_extended_code(error) == 1555); /* SQLITE_CONSTRAINT_PRIMARYKEY */
  size_t len = 0;
  const char *message = honker_error_message(error, &len);
  CHECK(contains(message, "a.b") && strlen(message) == len &&
        honker_error_message(error, NULL) == message);
  honker_error_free(error);
  honker_error_free(error);
  honker_error_free(NULL);
  CHECK(honker_error_status(error) == HONKER_MISUSE && honker_error_sqlite_code(error) == 0);
  message = honker_error_message(error, &len);
  CHECK(message[0] == '\0' && len == 0);
  /* An error of our own has no code of SQLite's. */
  CHECK(honker_close(NULL, &error) == HONKER_MISUSE);
  CHECK(honker_error_sqlite_code(error) == 0 && honker_error_sqlite_extended_code(error) == 0);
  honker_error_free(error);
  OK(honker_tx_rollback(tx, ERR));
  honker_tx_free(tx);
  OK(honker_close(db, ERR));
}

static void a_job_from_enqueue_to_ack(void) {
  honker_db_t *db = open_db("a.db");
  nothing_to_take(db, "q");
  int64_t id = put(db, "q", "{\"n\":1}");
  CHECK(take(db, "q", "w", "{\"n\":1}") == id);
  nothing_to_take(db, "q");
  EXPECT(HONKER_LOST, honker_ack(db, NULL, id, T("other"), ERR));
  EXPECT(HONKER_LOST, honker_ack(db, NULL, id + 1, T("w"), ERR));
  OK(honker_heartbeat(db, NULL, id, T("w"), 600, ERR));
  EXPECT(HONKER_LOST, honker_heartbeat(db, NULL, id, T("other"), 600, ERR));
  OK(honker_ack(db, NULL, id, T("w"), ERR));
  EXPECT(HONKER_LOST, honker_ack(db, NULL, id, T("w"), ERR));
  OK(honker_close(db, ERR));
}

static void a_view_of_a_job_is_complete(void) {
  honker_db_t *db = open_db("a.db");
  put(db, "q", "first");
  put(db, "q", "");
  honker_jobs_t *jobs = NULL;
  size_t len = 0;
  int64_t before = (int64_t)time(NULL);
  OK(honker_claim(db, NULL, T("q"), T("worker"), -1, 60, &jobs, ERR));
  OK(honker_jobs_len(jobs, &len, ERR));
  CHECK(len == 2);
  honker_job_view_t job = HONKER_JOB_VIEW_INIT;
  OK(honker_jobs_get(jobs, 0, &job, ERR));
  CHECK(job.struct_size == sizeof job && job.reserved == 0);
  CHECK(job.id == 1 && job.attempts == 1);
  CHECK(job.claim_expires_at >= before + 60 && job.claim_expires_at <= (int64_t)time(NULL) + 60);
  OK(honker_jobs_get(jobs, 1, &job, ERR));
  /* An empty text is somewhere: not NULL, and not at an address that no memory has. */
  CHECK(job.id == 2 && job.payload.len == 0 && (uintptr_t)job.payload.data > 0xffff);
  EXPECT(HONKER_INVALID, honker_jobs_get(jobs, 2, &job, ERR));
  CHECK(job.id == 0 && job.payload.data == NULL && job.struct_size == sizeof job);
  EXPECT(HONKER_INVALID, honker_jobs_get(jobs, SIZE_MAX, &job, ERR));
  honker_jobs_free(jobs);
  honker_jobs_free(jobs);
  honker_jobs_free(NULL);
  OK(honker_close(db, ERR));
}

/* Views of `size` bytes from `first` on, in memory that is not aligned and full of something else,
 * as a caller has them whose header is older or newer; how many were read. They are looked at
 * through this header. */
static size_t views_of(const honker_jobs_t *jobs, size_t first, size_t size, size_t len,
                       honker_job_view_t *seen) {
  static unsigned char memory[2048];
  unsigned char *views = memory + 3;
  uint32_t size_32 = (uint32_t)size;
  size_t read = SIZE_MAX;
  memset(memory, 0xa5, sizeof memory);
  memcpy(views, &size_32, sizeof size_32);
  OK(honker_jobs_views(jobs, first, (honker_job_view_t *)(void *)views, len, &read, ERR));
  CHECK(read <= len);
  for (size_t i = 0; i < len; i++) {
    const size_t known = size < sizeof *seen ? size : sizeof *seen;
    memset(&seen[i], 0, sizeof *seen);
    memcpy(&seen[i], views + i * size, known);
    CHECK(seen[i].struct_size == size && seen[i].reserved == 0);
    for (size_t j = known; j < size; j++) CHECK(views[i * size + j] == 0);
    if (i >= read) CHECK(seen[i].id == 0 && seen[i].payload.data == NULL && seen[i].attempts == 0);
  }
  for (size_t i = len * size; i < sizeof memory - 3; i++) CHECK(views[i] == 0xa5);
  return read;
}

static void many_jobs_are_read_at_once(void) {
  honker_db_t *db = open_db("a.db");
  static const char *const payloads[] = {"zero", "one", "", "three", "four"};
  enum { N = sizeof payloads / sizeof payloads[0], ROOM = N + 2 };
  for (size_t i = 0; i < N; i++) put(db, "q", payloads[i]);
  honker_jobs_t *jobs = NULL;
  OK(honker_claim(db, NULL, T("q"), T("worker"), -1, 60, &jobs, ERR));

  honker_job_view_t views[ROOM], one = HONKER_JOB_VIEW_INIT;
  for (size_t first = 0; first <= N; first++) {
    for (size_t len = 1; len <= ROOM; len++) {
      const size_t read = views_of(jobs, first, sizeof one, len, views);
      CHECK(read == (len < N - first ? len : N - first));
      for (size_t i = 0; i < read; i++) {
        OK(honker_jobs_get(jobs, first + i, &one, ERR));
        CHECK(memcmp(&views[i], &one, sizeof one) == 0 &&
              bytes_are(one.payload, payloads[first + i]));
      }
    }
  }

  /* A caller whose header is older knows the id alone, one whose header is newer expects more
   * behind what there is. */
  CHECK(views_of(jobs, 1, 16, 3, views) == 3 && views_of(jobs, 4, 8, 3, views) == 1);
  CHECK(views_of(jobs, 1, 16, 3, views) == 3);
  CHECK(views[0].id == 2 && views[1].id == 3 && views[2].id == 4 && views[2].payload.data == NULL);
  CHECK(views_of(jobs, 2, sizeof one + 24, 4, views) == 3);
  CHECK(views[0].id == 3 && views[2].id == 5 && views[2].claim_expires_at == one.claim_expires_at);
  CHECK(bytes_are(views[1].payload, "three") && bytes_are(views[1].worker_id, "worker"));

  /* No room at all: nothing is looked at. */
  size_t read = 9;
  OK(honker_jobs_views(jobs, 0, NULL, 0, &read, ERR));
  CHECK(read == 0);
  memset(views, 0xa5, sizeof views);
  read = 9;
  OK(honker_jobs_views(jobs, N, views, 0, &read, ERR));
  CHECK(read == 0 && views[0].struct_size == 0xa5a5a5a5);
  EXPECT(HONKER_INVALID, honker_jobs_views(jobs, N + 1, NULL, 0, &read, ERR));
  read = 9;
  EXPECT(HONKER_NULL_ARG, honker_jobs_views(jobs, 0, NULL, 1, &read, ERR));
  CHECK(read == 0);

  /* Neither a length nor a size that cannot be right is believed, and then nothing is written. */
  static const size_t lengths[] = {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / sizeof one,
                                   SIZE_MAX / 2 / sizeof one + 1};
  views[0] = one;
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    read = 9;
    EXPECT(HONKER_INVALID, honker_jobs_views(jobs, 0, views, lengths[i], &read, ERR));
    CHECK(read == 0 && memcmp(&views[0], &one, sizeof one) == 0 && views[1].id != 0);
  }
  static const uint32_t sizes[] = {0, 4, sizeof one - 4, 4104, UINT32_MAX};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    views[0].struct_size = sizes[i];
    read = 9;
    EXPECT(HONKER_INVALID, honker_jobs_views(jobs, 0, views, 2, &read, ERR));
    CHECK(read == 0 && views[0].id == one.id && views[1].struct_size == 0xa5a5a5a5);
  }

  /* What a failed call leaves. */
  static const size_t beyond[] = {N + 1, SIZE_MAX};
  for (size_t i = 0; i < 2; i++) {
    views[0] = views[1] = one;
    read = 9;
    EXPECT(HONKER_INVALID, honker_jobs_views(jobs, beyond[i], views, 2, &read, ERR));
    CHECK(read == 0 && views[0].id == 0 && views[1].id == 0 && views[1].payload.data == NULL);
    CHECK(views[0].struct_size == sizeof one && views[1].struct_size == sizeof one);
  }
  honker_jobs_free(jobs);
  views[0] = views[1] = one;
  EXPECT(HONKER_MISUSE, honker_jobs_views(jobs, 0, views, 2, &read, ERR));
  CHECK(read == 0 && views[0].id == 0 && views[1].payload.data == NULL);
  OK(honker_close(db, ERR));
}

static void options_of_a_job_are_heeded(void) {
  honker_db_t *db = open_db("a.db");
  honker_enqueue_opts_t opts = HONKER_ENQUEUE_OPTS_INIT;
  int64_t id = 0, at = 0;
  honker_text_t *json = NULL;
  opts.priority = 7;
  opts.max_attempts = 1;
  opts.run_at = 1000;
  OK(honker_enqueue(db, NULL, T("q"), T("x"), &opts, &id, ERR));
  OK(honker_get_job(db, NULL, id, &json, ERR));
  char *text = text_of(json);
  CHECK(contains(text, "\"priority\":7") && contains(text, "\"max_attempts\":1") &&
        contains(text, "\"run_at\":1000"));
  CHECK(contains(text, "\"expires_at\":null") && contains(text, "\"state\":\"pending\""));
  free(text);
  opts.delay_s = 3600;
  opts.expires_s = 7200;
  OK(honker_enqueue(db, NULL, T("later"), T("x"), &opts, &id, ERR));
  nothing_to_take(db, "later");
  OK(honker_queue_next_claim_at(db, NULL, T("later"), &at, ERR));
  CHECK(at >= (int64_t)time(NULL) + 3590 && at <= (int64_t)time(NULL) + 3600);
  at = 1;
  EXPECT(HONKER_EMPTY, honker_queue_next_claim_at(db, NULL, T("empty"), &at, ERR));
  CHECK(at == 0);
  /* Beyond the end of time. */
  opts.delay_s = LARGEST - 1;
  id = 5;
  EXPECT(HONKER_INVALID, honker_enqueue(db, NULL, T("q"), T("x"), &opts, &id, ERR));
  CHECK(id == 0 && contains(check_message(), "delay"));
  opts.delay_s = HONKER_NO_TIME;
  opts.expires_s = LARGEST - 1;
  EXPECT(HONKER_INVALID, honker_enqueue(db, NULL, T("q"), T("x"), &opts, &id, ERR));
  opts.expires_s = SMALLEST;
  opts.delay_s = SMALLEST;
  opts.priority = SMALLEST;
  opts.max_attempts = SMALLEST;
  OK(honker_enqueue(db, NULL, T("past"), T("x"), &opts, &id, ERR));
  nothing_to_take(db, "past");
  OK(honker_close(db, ERR));
}

static void a_shorter_struct_means_the_defaults(void) {
  honker_db_t *db = open_db("a.db");
  honker_enqueue_opts_t opts = HONKER_ENQUEUE_OPTS_INIT;
  int64_t id = 0;
  honker_text_t *json = NULL;
  opts.struct_size = 16;
  opts.run_at = 1000;
  opts.priority = 9;
  opts.max_attempts = 9;
  OK(honker_enqueue(db, NULL, T("q"), T("x"), &opts, &id, ERR));
  OK(honker_get_job(db, NULL, id, &json, ERR));
  char *text = text_of(json);
  CHECK(contains(text, "\"run_at\":1000") && contains(text, "\"priority\":0") &&
        contains(text, "\"max_attempts\":3"));
  free(text);
  OK(honker_close(db, ERR));
}

static honker_job_spec_t spec_of(const char *queue, const char *payload,
                                 const honker_enqueue_opts_t *opts) {
  honker_job_spec_t spec = HONKER_JOB_SPEC_INIT;
  spec.queue = (honker_bytes_t){S(queue)};
  spec.payload = (honker_bytes_t){S(payload)};
  spec.opts = opts;
  return spec;
}

static void many_jobs_at_once(void) {
  honker_db_t *db = open_db("a.db");
  honker_job_spec_t specs[] = {spec_of("q", "1", NULL), spec_of("q", "", NULL),
                               spec_of("q", "3", NULL)};
  honker_enqueue_result_t results[4];
  int64_t acked = 9;
  specs[1].payload = (honker_bytes_t){NULL, 0};
  memset(results, 9, sizeof results);
  OK(honker_enqueue_many(db, NULL, specs, 3, results, ERR));
  for (int i = 0; i < 3; i++) CHECK(results[i].id == i + 1 && results[i].status == HONKER_OK);
  CHECK(results[3].id != 0);
  /* All or none, and the results are cleared. */
  specs[2].payload = (honker_bytes_t){T("\xff")};
  EXPECT(HONKER_UTF8, honker_enqueue_many(db, NULL, specs, 3, results, ERR));
  CHECK(results[0].id == 0 && results[1].id == 0 && results[2].id == 0 && results[3].id != 0);
  specs[2].payload = (honker_bytes_t){NULL, 1};
  EXPECT(HONKER_NULL_ARG, honker_enqueue_many(db, NULL, specs, 3, results, ERR));
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live") == 3);
  OK(honker_enqueue_many(db, NULL, NULL, 0, NULL, ERR));
  EXPECT(HONKER_NULL_ARG, honker_enqueue_many(db, NULL, NULL, 3, results, ERR));
  EXPECT(HONKER_NULL_ARG, honker_enqueue_many(db, NULL, specs, 2, NULL, ERR));
  EXPECT(HONKER_INVALID, honker_enqueue_many(db, NULL, specs, SIZE_MAX, results, ERR));

  honker_jobs_t *jobs = NULL;
  int64_t settle[] = {1, 2, 2, 777};
  OK(honker_claim(db, NULL, T("q"), T("w"), 2, 60, &jobs, ERR));
  honker_jobs_free(jobs);
  OK(honker_ack_batch(db, NULL, settle, 4, T("other"), &acked, ERR));
  CHECK(acked == 0);
  OK(honker_ack_batch(db, NULL, settle, 4, T("w"), &acked, ERR));
  CHECK(acked == 2);
  OK(honker_ack_batch(db, NULL, NULL, 0, T("w"), &acked, ERR));
  CHECK(acked == 0);
  EXPECT(HONKER_NULL_ARG, honker_ack_batch(db, NULL, NULL, 1, T("w"), &acked, ERR));
  EXPECT(HONKER_INVALID, honker_ack_batch(db, NULL, settle, SIZE_MAX, T("w"), &acked, ERR));
  OK(honker_close(db, ERR));
}

static void jobs_of_many_queues_at_once(void) {
  honker_db_t *db = open_db("a.db");
  honker_enqueue_opts_t urgent = HONKER_ENQUEUE_OPTS_INIT, wrong = HONKER_ENQUEUE_OPTS_INIT;
  urgent.priority = 5;
  urgent.max_attempts = 9;
  urgent.metadata = (honker_bytes_t){T("{\"trace\":\"t\"}")};
  wrong.delay_s = INT64_MAX - 1;
  honker_job_spec_t specs[] = {spec_of("a", "1", NULL), spec_of("b", "2", &urgent),
                               spec_of("a", "3", &urgent)};
  honker_enqueue_result_t results[3];
  OK(honker_enqueue_many(db, NULL, specs, 3, results, ERR));
  CHECK(results[0].id < results[1].id && results[1].id < results[2].id);

  honker_jobs_t *jobs = NULL;
  honker_job_view_t job = HONKER_JOB_VIEW_INIT;
  OK(honker_claim(db, NULL, T("a"), T("w"), 9, 60, &jobs, ERR));
  OK(honker_jobs_get(jobs, 0, &job, ERR));
  CHECK(job.id == results[2].id && job.max_attempts == 9 && job.serial == 0);
  CHECK(bytes_are(job.metadata, "{\"trace\":\"t\"}"));
  OK(honker_jobs_get(jobs, 1, &job, ERR));
  CHECK(job.id == results[0].id && job.max_attempts == 3 && job.metadata.data == NULL);
  honker_jobs_free(jobs);
  OK(honker_claim(db, NULL, T("b"), T("w"), 1, 60, &jobs, ERR));
  OK(honker_jobs_get(jobs, 0, &job, ERR));
  CHECK(job.max_attempts == 9 && bytes_are(job.metadata, "{\"trace\":\"t\"}"));
  honker_jobs_free(jobs);
  OK(honker_fail(db, NULL, results[1].id, T("w"), T("never"), ERR));
  honker_text_t *json = NULL;
  OK(honker_dead_list(db, NULL, T("b"), -1, &json, ERR));
  char *text = text_of(json);
  CHECK(contains(text, "\"metadata\":{\"trace\":\"t\"}"));
  free(text);

  /* One that is wrong, in whatever way, and none is there. */
  specs[2].opts = &wrong;
  EXPECT(HONKER_INVALID, honker_enqueue_many(db, NULL, specs, 3, results, ERR));
  static const char *const refused[] = {"{", "[]", "\"text\"", "{\"a\":1}", "{} {}"};
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
    urgent.metadata = (honker_bytes_t){S(refused[i])};
    int64_t id = 0;
    EXPECT(HONKER_INVALID, honker_enqueue(db, NULL, T("q"), T("x"), &urgent, &id, ERR));
    CHECK(contains(check_message(), "metadata"));
    specs[2].opts = &urgent;
    EXPECT(HONKER_INVALID, honker_enqueue_many(db, NULL, specs, 3, results, ERR));
  }
  char *big = malloc(9000);
  CHECK(big != NULL);
  snprintf(big, 9000, "{\"a\":\"%08190d\"}", 0);
  urgent.metadata = (honker_bytes_t){S(big)};
  EXPECT(HONKER_INVALID, honker_enqueue_many(db, NULL, specs, 3, results, ERR));
  CHECK(contains(check_message(), "8192"));
  urgent.metadata = (honker_bytes_t){NULL, 0};
  free(big);
  specs[2] = spec_of("a", "3", NULL);
  specs[2].queue = (honker_bytes_t){T("\xff")};
  EXPECT(HONKER_UTF8, honker_enqueue_many(db, NULL, specs, 3, results, ERR));
  urgent.metadata = (honker_bytes_t){T("\xff")};
  specs[2] = spec_of("a", "3", &urgent);
  EXPECT(HONKER_UTF8, honker_enqueue_many(db, NULL, specs, 3, results, ERR));
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live") == 2);

  /* A caller whose specs are longer or shorter, somewhere in memory: the first says how long all
   * are. */
  unsigned char memory[3 * 128 + 1];
  for (uint32_t size = 24; size <= 72; size += 16) {
    memset(memory, 0, sizeof memory);
    for (size_t i = 0; i < 3; i++) {
      honker_job_spec_t spec = spec_of("sized", "x", NULL);
      spec.struct_size = size;
      memcpy(memory + 1 + i * size, &spec, size < sizeof spec ? size : sizeof spec);
    }
    const honker_job_spec_t *sized = (const honker_job_spec_t *)(void *)(memory + 1);
    OK(honker_enqueue_many(db, NULL, sized, 3, results, ERR));
    uint32_t other = size + 8;
    memcpy(memory + 1 + 2 * size, &other, sizeof other);
    EXPECT(HONKER_INVALID, honker_enqueue_many(db, NULL, sized, 3, results, ERR));
  }
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live WHERE queue = 'sized'") == 12);
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live WHERE payload = ''") == 3);
  specs[0].struct_size = 0;
  EXPECT(HONKER_INVALID, honker_enqueue_many(db, NULL, specs, 3, results, ERR));
  OK(honker_close(db, ERR));
}

static void a_claim_is_bounded(void) {
  honker_db_t *db = open_db("a.db");
  for (int i = 0; i < 5; i++) put(db, "q", "x");
  honker_jobs_t *jobs = NULL;
  size_t len = 0;
  EXPECT(HONKER_EMPTY, honker_claim(db, NULL, T("q"), T("w"), 0, 60, &jobs, ERR));
  OK(honker_claim(db, NULL, T("q"), T("w"), 3, 60, &jobs, ERR));
  OK(honker_jobs_len(jobs, &len, ERR));
  CHECK(len == 3);
  honker_jobs_free(jobs);
  EXPECT(HONKER_INVALID, honker_claim(db, NULL, T("q"), T("w"), 1, LARGEST, &jobs, ERR));
  CHECK(jobs == NULL && contains(check_message(), "timeout_s"));
  OK(honker_claim(db, NULL, T("q"), T("w"), LARGEST, SMALLEST / 2, &jobs, ERR));
  honker_jobs_free(jobs);
  /* That claim was over before it began. */
  EXPECT(HONKER_LOST, honker_ack(db, NULL, 4, T("w"), ERR));
  EXPECT(HONKER_INVALID, honker_heartbeat(db, NULL, 1, T("w"), LARGEST, ERR));
  EXPECT(HONKER_INVALID, honker_retry(db, NULL, 1, T("w"), LARGEST, T("e"), ERR));
  OK(honker_close(db, ERR));
}

static void a_job_that_fails_is_dead_and_can_come_back(void) {
  honker_db_t *db = open_db("a.db");
  int64_t id = put(db, "q", "x"), count = 0;
  honker_text_t *json = NULL;
  CHECK(take(db, "q", "w", "x") == id);
  EXPECT(HONKER_LOST, honker_retry(db, NULL, id, T("other"), 0, T("again"), ERR));
  OK(honker_retry(db, NULL, id, T("w"), 0, T("again"), ERR));
  CHECK(take(db, "q", "w", "x") == id);
  EXPECT(HONKER_LOST, honker_fail(db, NULL, id, T("other"), T("never"), ERR));
  OK(honker_fail(db, NULL, id, T("w"), T("never \xc3\xa4"), ERR));
  EXPECT(HONKER_EMPTY, honker_get_job(db, NULL, id, &json, ERR));
  CHECK(json == NULL);
  OK(honker_dead_list(db, NULL, T("q"), -1, &json, ERR));
  char *text = text_of(json);
  CHECK(contains(text, "\"last_error\":\"never \xc3\xa4\"") && contains(text, "\"attempts\":2"));
  free(text);
  OK(honker_dead_list(db, NULL, NULL, 0, 0, &json, ERR));
  text = text_of(json);
  CHECK(strcmp(text, "[]") == 0);
  free(text);
  /* NULL is all queues, the empty text a queue like any other. */
  OK(honker_dead_list(db, NULL, T(""), -1, &json, ERR));
  text = text_of(json);
  CHECK(strcmp(text, "[]") == 0);
  free(text);
  OK(honker_dead_requeue(db, NULL, id, ERR));
  EXPECT(HONKER_EMPTY, honker_dead_requeue(db, NULL, id, ERR));
  CHECK(take(db, "q", "w", "x") == id);
  OK(honker_fail(db, NULL, id, T("w"), T("never"), ERR));
  OK(honker_dead_purge(db, NULL, T("other"), -10, &count, ERR));
  CHECK(count == 0);
  OK(honker_dead_purge(db, NULL, NULL, 0, LARGEST, &count, ERR));
  CHECK(count == 0);
  OK(honker_dead_purge(db, NULL, NULL, 0, -10, &count, ERR));
  CHECK(count == 1);
  OK(honker_close(db, ERR));
}

static void jobs_are_cancelled_and_swept_and_counted(void) {
  honker_db_t *db = open_db("a.db");
  int64_t id = put(db, "q", "x"), count = 9;
  OK(honker_cancel(db, NULL, id, ERR));
  EXPECT(HONKER_EMPTY, honker_cancel(db, NULL, id, ERR));
  honker_enqueue_opts_t opts = HONKER_ENQUEUE_OPTS_INIT;
  opts.expires_s = 0;
  OK(honker_enqueue(db, NULL, T("q"), T("x"), &opts, &id, ERR));
  OK(honker_sweep_expired(db, NULL, T("other"), &count, ERR));
  CHECK(count == 0);
  OK(honker_sweep_expired(db, NULL, T("q"), &count, ERR));
  CHECK(count == 1);
  put(db, "q", "y");
  put(db, "r", "z");
  honker_text_t *json = NULL;
  OK(honker_queue_stats(db, NULL, T("q"), &json, ERR));
  char *text = text_of(json);
  CHECK(text[0] == '{' && contains(text, "\"pending\":1") && contains(text, "\"dead\":1"));
  free(text);
  OK(honker_queue_stats(db, NULL, NULL, 0, &json, ERR));
  text = text_of(json);
  CHECK(text[0] == '[' && contains(text, "\"queue\":\"q\"") && contains(text, "\"queue\":\"r\""));
  free(text);
  OK(honker_close(db, ERR));
}

static void notifications_are_added_and_pruned(void) {
  honker_db_t *db = open_db("a.db");
  int64_t id = 0, pruned = 9;
  for (int i = 0; i < 4; i++) OK(honker_notify(db, NULL, T("c"), T("x"), &id, ERR));
  CHECK(id == 4);
  OK(honker_notifications_prune(db, NULL, HONKER_NO_TIME, HONKER_NO_TIME, &pruned, ERR));
  CHECK(pruned == 0);
  OK(honker_notifications_prune(db, NULL, HONKER_NO_TIME, 3, &pruned, ERR));
  CHECK(pruned == 1);
  OK(honker_notifications_prune(db, NULL, 3600, HONKER_NO_TIME, &pruned, ERR));
  CHECK(pruned == 0);
  OK(honker_notifications_prune(db, NULL, -10, HONKER_NO_TIME, &pruned, ERR));
  CHECK(pruned == 3);
  EXPECT(HONKER_INVALID, honker_notifications_prune(db, NULL, 0, -1, &pruned, ERR));
  CHECK(pruned == 0);
  OK(honker_close(db, ERR));
}

static void events_are_published_and_read(void) {
  honker_db_t *db = open_db("a.db");
  int64_t offset = 0;
  honker_events_t *events = NULL;
  size_t len = 0;
  EXPECT(HONKER_EMPTY, honker_stream_read_since(db, NULL, T("t"), 0, -1, &events, ERR));
  CHECK(events == NULL);
  OK(honker_stream_publish(db, NULL, T("t"), NULL, 0, T("one"), &offset, ERR));
  CHECK(offset == 1);
  OK(honker_stream_publish(db, NULL, T("t"), T(""), T("two"), &offset, ERR));
  OK(honker_stream_publish(db, NULL, T("t"), T("key"), T("three"), &offset, ERR));
  OK(honker_stream_read_since(db, NULL, T("t"), 0, 2, &events, ERR));
  OK(honker_events_len(events, &len, ERR));
  CHECK(len == 2);
  honker_event_view_t event = HONKER_EVENT_VIEW_INIT;
  OK(honker_events_get(events, 0, &event, ERR));
  CHECK(event.offset == 1 && bytes_are(event.topic, "t") && bytes_are(event.payload, "one"));
  CHECK(event.key.data == NULL && event.key.len == 0 && event.created_at > 1600000000);
  OK(honker_events_get(events, 1, &event, ERR));
  CHECK((uintptr_t)event.key.data > 0xffff && event.key.len == 0);
  EXPECT(HONKER_INVALID, honker_events_get(events, 2, &event, ERR));
  CHECK(event.offset == 0);
  honker_events_free(events);
  OK(honker_stream_read_since(db, NULL, T("t"), 2, -1, &events, ERR));
  OK(honker_events_get(events, 0, &event, ERR));
  CHECK(bytes_are(event.key, "key"));
  honker_events_free(events);
  EXPECT(HONKER_EMPTY, honker_stream_read_since(db, NULL, T("t"), LARGEST, -1, &events, ERR));

  OK(honker_stream_get_offset(db, NULL, T("c"), T("t"), &offset, ERR));
  CHECK(offset == 0);
  OK(honker_stream_save_offset(db, NULL, T("c"), T("t"), 2, ERR));
  EXPECT(HONKER_EMPTY, honker_stream_save_offset(db, NULL, T("c"), T("t"), 2, ERR));
  EXPECT(HONKER_EMPTY, honker_stream_save_offset(db, NULL, T("c"), T("t"), 1, ERR));
  OK(honker_stream_get_offset(db, NULL, T("c"), T("t"), &offset, ERR));
  CHECK(offset == 2);
  OK(honker_close(db, ERR));
}

static void results_are_kept_for_their_time(void) {
  honker_db_t *db = open_db("a.db");
  honker_text_t *value = NULL;
  int64_t swept = 9;
  EXPECT(HONKER_EMPTY, honker_result_get(db, NULL, 1, &value, ERR));
  CHECK(value == NULL);
  OK(honker_result_save(db, NULL, 1, T("first"), 60, ERR));
  OK(honker_result_save(db, NULL, 1, T(""), 0, ERR));
  OK(honker_result_get(db, NULL, 1, &value, ERR));
  const uint8_t *data = NULL;
  size_t len = 9;
  OK(honker_text_get(value, &data, &len, ERR));
  CHECK(len == 0 && (uintptr_t)data > 0xffff);
  honker_text_free(value);
  OK(honker_result_sweep(db, NULL, &swept, ERR));
  CHECK(swept == 0);
  EXPECT(HONKER_INVALID, honker_result_save(db, NULL, 1, T("x"), LARGEST, ERR));
  OK(honker_result_save(db, NULL, LARGEST, T("x"), SMALLEST, ERR));
  OK(honker_result_get(db, NULL, LARGEST, &value, ERR));
  honker_text_free(value);
  OK(honker_close(db, ERR));
}

static void a_lock_has_one_owner(void) {
  honker_db_t *db = open_db("a.db");
  OK(honker_lock_acquire(db, NULL, T("l"), T("a"), 60, ERR));
  OK(honker_lock_acquire(db, NULL, T("l"), T("a"), 60, ERR));
  EXPECT(HONKER_HELD, honker_lock_acquire(db, NULL, T("l"), T("b"), 60, ERR));
  OK(honker_lock_renew(db, NULL, T("l"), T("a"), 60, ERR));
  EXPECT(HONKER_LOST, honker_lock_renew(db, NULL, T("l"), T("b"), 60, ERR));
  EXPECT(HONKER_LOST, honker_lock_release(db, NULL, T("l"), T("b"), ERR));
  EXPECT(HONKER_INVALID, honker_lock_renew(db, NULL, T("l"), T("a"), 0, ERR));
  EXPECT(HONKER_INVALID, honker_lock_renew(db, NULL, T("l"), T("a"), LARGEST, ERR));
  EXPECT(HONKER_INVALID, honker_lock_acquire(db, NULL, T("m"), T("a"), LARGEST, ERR));
  OK(honker_lock_release(db, NULL, T("l"), T("a"), ERR));
  EXPECT(HONKER_LOST, honker_lock_release(db, NULL, T("l"), T("a"), ERR));
  OK(honker_lock_acquire(db, NULL, T("l"), T("b"), 60, ERR));
  OK(honker_close(db, ERR));
}

static void a_rate_limit_limits(void) {
  honker_db_t *db = open_db("a.db");
  int64_t swept = 9;
  /* A window that does not end while this runs: they begin at multiples of their length. */
  OK(honker_rate_limit_try(db, NULL, T("r"), 2, 1000000000, ERR));
  OK(honker_rate_limit_try(db, NULL, T("r"), 2, 1000000000, ERR));
  EXPECT(HONKER_LIMITED, honker_rate_limit_try(db, NULL, T("r"), 2, 1000000000, ERR));
  OK(honker_rate_limit_try(db, NULL, T("other"), 1, 1000000000, ERR));
  EXPECT(HONKER_INVALID, honker_rate_limit_try(db, NULL, T("r"), 0, 60, ERR));
  EXPECT(HONKER_INVALID, honker_rate_limit_try(db, NULL, T("r"), 1, -60, ERR));
  OK(honker_rate_limit_sweep(db, NULL, LARGEST, &swept, ERR));
  CHECK(swept == 0);
  OK(honker_rate_limit_sweep(db, NULL, -10, &swept, ERR));
  CHECK(swept == 2);
  OK(honker_close(db, ERR));
}

static void schedules_fire(void) {
  honker_db_t *db = open_db("a.db");
  int64_t at = 9, until = (int64_t)time(NULL) + 10;
  honker_fires_t *fires = NULL;
  honker_text_t *json = NULL;
  size_t len = 0;
  EXPECT(HONKER_EMPTY, honker_scheduler_soonest(db, NULL, &at, ERR));
  CHECK(at == 0);
  EXPECT(HONKER_EMPTY, honker_scheduler_tick(db, NULL, until, &fires, ERR));
  CHECK(fires == NULL);
  OK(honker_scheduler_register(db, NULL, T("s"), T("q"), T("@every 5s"), T("p"), NULL, ERR));
  EXPECT(HONKER_INVALID,
         honker_scheduler_register(db, NULL, T("s"), T("q"), T("nonsense"), T("p"), NULL, ERR));
  EXPECT(HONKER_EMPTY, honker_scheduler_tick(db, NULL, HONKER_NO_TIME, &fires, ERR));
  OK(honker_scheduler_soonest(db, NULL, &at, ERR));
  CHECK(at > until - 10 && at <= until - 10 + 6);
  OK(honker_scheduler_tick(db, NULL, at, &fires, ERR));
  OK(honker_fires_len(fires, &len, ERR));
  CHECK(len == 1);
  honker_fire_view_t fire = HONKER_FIRE_VIEW_INIT;
  OK(honker_fires_get(fires, 0, &fire, ERR));
  CHECK(bytes_are(fire.name, "s") && bytes_are(fire.queue, "q") && fire.fire_at == at);
  OK(honker_get_job(db, NULL, fire.job_id, &json, ERR));
  honker_text_free(json);
  EXPECT(HONKER_INVALID, honker_fires_get(fires, 1, &fire, ERR));
  CHECK(fire.job_id == 0 && fire.name.data == NULL);
  honker_fires_free(fires);

  OK(honker_scheduler_pause(db, NULL, T("s"), ERR));
  EXPECT(HONKER_EMPTY, honker_scheduler_pause(db, NULL, T("s"), ERR));
  EXPECT(HONKER_EMPTY, honker_scheduler_pause(db, NULL, T("none"), ERR));
  EXPECT(HONKER_EMPTY, honker_scheduler_soonest(db, NULL, &at, ERR));
  OK(honker_scheduler_resume(db, NULL, T("s"), ERR));
  EXPECT(HONKER_EMPTY, honker_scheduler_resume(db, NULL, T("s"), ERR));
  OK(honker_scheduler_unregister(db, NULL, T("s"), ERR));
  EXPECT(HONKER_EMPTY, honker_scheduler_unregister(db, NULL, T("s"), ERR));
  OK(honker_close(db, ERR));
}

static void schedules_change(void) {
  honker_db_t *db = open_db("a.db");
  honker_schedule_opts_t opts = HONKER_SCHEDULE_OPTS_INIT;
  honker_text_t *json = NULL;
  opts.priority = 5;
  opts.expires_s = 60;
  opts.max_attempts = 9;
  OK(honker_scheduler_register(db, NULL, T("s"), T("q"), T("@daily"), T("p"), &opts, ERR));
  honker_schedule_update_t changes = HONKER_SCHEDULE_UPDATE_INIT;
  EXPECT(HONKER_EMPTY, honker_scheduler_update(db, NULL, T("s"), &changes, ERR));
  changes.fields = HONKER_UPDATE_PRIORITY;
  changes.priority = -3;
  EXPECT(HONKER_EMPTY, honker_scheduler_update(db, NULL, T("none"), &changes, ERR));
  OK(honker_scheduler_update(db, NULL, T("s"), &changes, ERR));
  OK(honker_scheduler_list(db, NULL, &json, ERR));
  char *text = text_of(json);
  CHECK(contains(text, "\"priority\":-3") && contains(text, "\"expires_s\":60"));
  CHECK(contains(text, "\"max_attempts\":9") && contains(text, "\"cron_expr\":\"@daily\""));
  free(text);
  changes.fields = HONKER_UPDATE_EXPRESSION | HONKER_UPDATE_PAYLOAD | HONKER_UPDATE_EXPIRES |
                   HONKER_UPDATE_MAX_ATTEMPTS;
  changes.expression = (honker_bytes_t){T("@hourly")};
  changes.payload = (honker_bytes_t){T("other")};
  changes.expires_s = HONKER_NO_TIME;
  changes.max_attempts = HONKER_NO_TIME;
  OK(honker_scheduler_update(db, NULL, T("s"), &changes, ERR));
  OK(honker_scheduler_list(db, NULL, &json, ERR));
  text = text_of(json);
  CHECK(contains(text, "\"priority\":-3") && contains(text, "\"expires_s\":null"));
  CHECK(contains(text, "\"max_attempts\":3") && contains(text, "\"cron_expr\":\"@hourly\""));
  CHECK(contains(text, "\"payload\":\"other\""));
  free(text);
  changes.fields = 32;
  EXPECT(HONKER_INVALID, honker_scheduler_update(db, NULL, T("s"), &changes, ERR));
  changes.fields = UINT64_MAX;
  EXPECT(HONKER_INVALID, honker_scheduler_update(db, NULL, T("s"), &changes, ERR));
  EXPECT(HONKER_NULL_ARG, honker_scheduler_update(db, NULL, T("s"), NULL, ERR));
  changes.fields = HONKER_UPDATE_EXPRESSION;
  changes.expression = (honker_bytes_t){T("nonsense")};
  EXPECT(HONKER_INVALID, honker_scheduler_update(db, NULL, T("s"), &changes, ERR));
  OK(honker_close(db, ERR));
}

static void an_expression_is_computed_without_a_database(void) {
  int64_t at = 0;
  OK(honker_cron_next_after(T("CRON_TZ=UTC 30 4 * * *"), 0, &at, ERR));
  CHECK(at == 4 * 3600 + 30 * 60);
  EXPECT(HONKER_INVALID, honker_cron_next_after(T("CRON_TZ=UTC 30 4 * *"), 0, &at, ERR));
  CHECK(at == 0);
  EXPECT(HONKER_INVALID, honker_cron_next_after(T(""), 0, &at, ERR));
  EXPECT(HONKER_INVALID, honker_cron_next_after(T("@every 5m"), LARGEST, &at, ERR));
  EXPECT(HONKER_INVALID, honker_cron_next_after(T("@daily"), SMALLEST, &at, ERR));
}

static void a_transaction_holds_operations_together(void) {
  honker_db_t *db = open_db("a.db");
  honker_tx_t *tx = NULL;
  int64_t id = 0;
  honker_text_t *json = NULL;
  OK(honker_tx_begin(db, &tx, ERR));
  OK(honker_enqueue(db, tx, T("q"), T("x"), NULL, &id, ERR));
  /* It sees what it has done, and nobody else does. */
  OK(honker_get_job(db, tx, id, &json, ERR));
  honker_text_free(json);
  EXPECT(HONKER_EMPTY, honker_get_job(db, NULL, id, &json, ERR));
  /* An operation that fails leaves it as it was. */
  EXPECT(HONKER_INVALID, honker_lock_acquire(db, tx, T("l"), T("o"), LARGEST, ERR));
  OK(honker_get_job(db, tx, id, &json, ERR));
  honker_text_free(json);
  OK(honker_tx_commit(tx, ERR));
  OK(honker_get_job(db, NULL, id, &json, ERR));
  honker_text_free(json);
  EXPECT(HONKER_MISUSE, honker_get_job(db, tx, id, &json, ERR));
  EXPECT(HONKER_MISUSE, honker_tx_commit(tx, ERR));
  EXPECT(HONKER_MISUSE, honker_tx_rollback(tx, ERR));
  honker_tx_free(tx);

  OK(honker_tx_begin(db, &tx, ERR));
  OK(honker_cancel(db, tx, id, ERR));
  OK(honker_tx_rollback(tx, ERR));
  EXPECT(HONKER_MISUSE, honker_cancel(db, tx, id, ERR));
  honker_tx_free(tx);
  OK(honker_tx_begin(db, &tx, ERR));
  OK(honker_cancel(db, tx, id, ERR));
  honker_tx_free(tx);
  OK(honker_get_job(db, NULL, id, &json, ERR));
  honker_text_free(json);
  OK(honker_close(db, ERR));
}

static void views_stay_valid_until_they_are_freed(void) {
  honker_db_t *db = open_db("a.db");
  put(db, "q", "payload");
  honker_jobs_t *jobs = NULL;
  honker_rows_t *rows = NULL;
  honker_text_t *text = NULL;
  OK(honker_claim(db, NULL, T("q"), T("w"), 1, 60, &jobs, ERR));
  OK(honker_query(db, T("SELECT payload FROM _honker_live"), NULL, 0, &rows, ERR));
  OK(honker_get_job(db, NULL, 1, &text, ERR));
  honker_job_view_t job = HONKER_JOB_VIEW_INIT;
  honker_value_t value;
  const uint8_t *name = NULL, *data = NULL;
  size_t name_len = 0, len = 0;
  OK(honker_jobs_get(jobs, 0, &job, ERR));
  OK(honker_rows_get(rows, 0, 0, &value, ERR));
  OK(honker_rows_column(rows, 0, &name, &name_len, ERR));
  OK(honker_text_get(text, &data, &len, ERR));
  OK(honker_cancel(db, NULL, 1, ERR));
  OK(honker_close(db, ERR));
  CHECK(bytes_are(job.payload, "payload") && bytes_are(job.worker_id, "w") &&
        bytes_are(value.bytes, "payload"));
  CHECK(name_len == 7 && memcmp(name, "payload", 7) == 0 && len > 0 && data[0] == '{' &&
        data[len - 1] == '}');
  /* They can still be looked at. */
  OK(honker_jobs_get(jobs, 0, &job, ERR));
  OK(honker_rows_get(rows, 0, 0, &value, ERR));
  honker_jobs_free(jobs);
  honker_text_free(text);
  honker_rows_free(rows);
}

const test_t operation_tests[] = {
    {"statuses_have_names_and_are_transient_or_not", statuses_have_names_and_are_transient_or_not},
    {"the_library_tells_its_version", the_library_tells_its_version},
    {"errors_carry_what_sqlite_says", errors_carry_what_sqlite_says},
    {"a_job_from_enqueue_to_ack", a_job_from_enqueue_to_ack},
    {"a_view_of_a_job_is_complete", a_view_of_a_job_is_complete},
    {"many_jobs_are_read_at_once", many_jobs_are_read_at_once},
    {"options_of_a_job_are_heeded", options_of_a_job_are_heeded},
    {"a_shorter_struct_means_the_defaults", a_shorter_struct_means_the_defaults},
    {"many_jobs_at_once", many_jobs_at_once},
    {"jobs_of_many_queues_at_once", jobs_of_many_queues_at_once},
    {"a_claim_is_bounded", a_claim_is_bounded},
    {"a_job_that_fails_is_dead_and_can_come_back", a_job_that_fails_is_dead_and_can_come_back},
    {"jobs_are_cancelled_and_swept_and_counted", jobs_are_cancelled_and_swept_and_counted},
    {"notifications_are_added_and_pruned", notifications_are_added_and_pruned},
    {"events_are_published_and_read", events_are_published_and_read},
    {"results_are_kept_for_their_time", results_are_kept_for_their_time},
    {"a_lock_has_one_owner", a_lock_has_one_owner},
    {"a_rate_limit_limits", a_rate_limit_limits},
    {"schedules_fire", schedules_fire},
    {"schedules_change", schedules_change},
    {"an_expression_is_computed_without_a_database", an_expression_is_computed_without_a_database},
    {"a_transaction_holds_operations_together", a_transaction_holds_operations_together},
    {"views_stay_valid_until_they_are_freed", views_stay_valid_until_they_are_freed},
    {NULL, NULL},
};
