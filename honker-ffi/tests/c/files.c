/* Files: how they are opened, what is the matter with some, and sharing them with other processes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static void cannot_open(honker_status_t wanted, const char *path, const honker_open_opts_t *opts) {
  honker_db_t *db = (honker_db_t *)(void *)&db;
  EXPECT(wanted, honker_open(S(path), opts, &db, ERR));
  CHECK(db == NULL);
}

static void ends_well(pid_t child) {
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void options_are_checked(void) {
  honker_open_opts_t good = HONKER_OPEN_OPTS_INIT, opts = good;
  opts.busy_timeout_ms = -1;
  cannot_open(HONKER_INVALID, path_of("a.db"), &opts);
  opts = good, opts.readers_max = 0;
  cannot_open(HONKER_INVALID, path_of("a.db"), &opts);
  opts = good, opts.readers_max = 1001;
  cannot_open(HONKER_INVALID, path_of("a.db"), &opts);
  opts = good, opts.durability = 2;
  cannot_open(HONKER_INVALID, path_of("a.db"), &opts);
  opts = good, opts.journal_mode = 4;
  cannot_open(HONKER_INVALID, path_of("a.db"), &opts);
  opts = good, opts.nesting = 2;
  cannot_open(HONKER_INVALID, path_of("a.db"), &opts);
  opts = good, opts.wal_autocheckpoint_pages = UINT32_MAX;
  cannot_open(HONKER_INVALID, path_of("a.db"), &opts);
  CHECK(access(path_of("a.db"), F_OK) != 0);
  opts = good, opts.busy_timeout_ms = INT64_MAX, opts.readers_max = 1000,
  opts.wal_autocheckpoint_pages = INT32_MAX;
  OK(honker_close(open_with("a.db", &opts), ERR));
}

static char *pragma(honker_db_t *db, const char *sql) {
  honker_rows_t *rows = NULL;
  honker_value_t value;
  static char text[64];
  OK(honker_query(db, S(sql), NULL, 0, &rows, ERR));
  OK(honker_rows_get(rows, 0, 0, &value, ERR));
  if (value.value_type == HONKER_TYPE_TEXT) {
    snprintf(text, sizeof text, "%.*s", (int)value.bytes.len, (const char *)value.bytes.data);
  } else {
    snprintf(text, sizeof text, "%lld", (long long)value.integer);
  }
  honker_rows_free(rows);
  return text;
}

static void options_are_heeded(void) {
  static const struct {
    uint32_t mode;
    const char *name;
  } modes[] = {{HONKER_JOURNAL_WAL, "wal"},
               {HONKER_JOURNAL_DELETE, "delete"},
               {HONKER_JOURNAL_TRUNCATE, "truncate"},
               {HONKER_JOURNAL_PERSIST, "persist"}};
  for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
    honker_open_opts_t opts = HONKER_OPEN_OPTS_INIT;
    int64_t id = 0;
    opts.journal_mode = modes[i].mode;
    opts.durability = HONKER_DURABILITY_FULL;
    opts.wal_autocheckpoint_pages = 77;
    honker_db_t *db = open_with(modes[i].name, &opts);
    honker_tx_t *tx = NULL;
    honker_rows_t *rows = NULL;
    honker_value_t value;
    OK(honker_tx_begin(db, &tx, ERR));
    OK(honker_tx_query(tx, T("PRAGMA journal_mode"), NULL, 0, &rows, ERR));
    OK(honker_rows_get(rows, 0, 0, &value, ERR));
    CHECK(bytes_are(value.bytes, modes[i].name));
    honker_rows_free(rows);
    OK(honker_tx_rollback(tx, ERR));
    honker_tx_free(tx);
    OK(honker_enqueue(db, NULL, T("q"), T("x"), NULL, &id, ERR));
    CHECK(strcmp(pragma(db, "PRAGMA synchronous"), "2") == 0);
    CHECK(strcmp(pragma(db, "PRAGMA wal_autocheckpoint"), "77") == 0);
    OK(honker_close(db, ERR));
  }
  honker_db_t *db = open_db("defaults.db");
  CHECK(strcmp(pragma(db, "PRAGMA synchronous"), "1") == 0);
  CHECK(strcmp(pragma(db, "PRAGMA wal_autocheckpoint"), "10000") == 0);
  CHECK(strcmp(pragma(db, "PRAGMA journal_mode"), "wal") == 0);
  OK(honker_close(db, ERR));
  /* The last to close leaves nothing beside the file. */
  CHECK(access(path_of("defaults.db"), F_OK) == 0 && access(path_of("defaults.db-wal"), F_OK) != 0);
}

static void there_is_nothing_in_memory(void) {
  static const char *const paths[] = {":memory:", "", "file::memory:", "file:x?mode=memory",
                                      "file:/x?vfs=memdb"};
  for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
    cannot_open(HONKER_INVALID, paths[i], NULL);
}

static void a_path_leads_nowhere(void) {
  cannot_open(HONKER_CANNOT_OPEN, path_of("missing/a.db"), NULL);
  cannot_open(HONKER_CANNOT_OPEN, path_of(""), NULL);
  char uri[1200];
  snprintf(uri, sizeof uri, "file:%s?mode=rw", path_of("missing.db"));
  cannot_open(HONKER_CANNOT_OPEN, uri, NULL);
}

static void a_file_is_no_database(void) {
  FILE *file = fopen(path_of("a.db"), "w");
  CHECK(file != NULL);
  for (int i = 0; i < 1000; i++) fputs("This is no database. ", file);
  fclose(file);
  cannot_open(HONKER_CORRUPT, path_of("a.db"), NULL);
}

static void a_file_gets_damaged(void) {
  honker_db_t *db = open_db("a.db");
  int64_t id = 0;
  for (int i = 0; i < 200; i++)
    OK(honker_enqueue(db, NULL, T("q"), T("some payload"), NULL, &id, ERR));
  OK(honker_close(db, ERR));
  int file = open(path_of("a.db"), O_WRONLY);
  CHECK(file >= 0);
  static char junk[4096];
  memset(junk, 0x5a, sizeof junk);
  off_t end = lseek(file, 0, SEEK_END);
  for (off_t at = 2 * 4096; at + 4096 <= end; at += 4096)
    CHECK(pwrite(file, junk, sizeof junk, at) == 4096);
  close(file);
  honker_status_t status = honker_open(S(path_of("a.db")), NULL, &db, NULL);
  if (status == HONKER_OK) {
    honker_rows_t *rows = NULL;
    EXPECT(HONKER_CORRUPT, honker_query(db, T("SELECT * FROM _honker_live"), NULL, 0, &rows, ERR));
    CHECK(rows == NULL);
    OK(honker_close(db, ERR));
  } else {
    CHECK(status == HONKER_CORRUPT);
  }
}

static void a_file_cannot_be_written(void) {
  OK(honker_close(open_db("a.db"), ERR));
  char uri[1200];
  snprintf(uri, sizeof uri, "file:%s?mode=ro", path_of("a.db"));
  /* A file whose tables are up to date can be opened to be read. */
  honker_db_t *db = NULL;
  int64_t id = 9;
  OK(honker_open(S(uri), NULL, &db, ERR));
  EXPECT(HONKER_READONLY, honker_enqueue(db, NULL, T("q"), T("x"), NULL, &id, ERR));
  CHECK(id == 0 && integer_of(db, "SELECT count(*) FROM _honker_live") == 0);
  OK(honker_close(db, ERR));
  FILE *empty = fopen(path_of("empty.db"), "w");
  CHECK(empty != NULL && fclose(empty) == 0);
  snprintf(uri, sizeof uri, "file:%s?mode=ro", path_of("empty.db"));
  cannot_open(HONKER_READONLY, uri, NULL);

  /* Permissions do not bind root: somebody else looks at them. */
  char path[1200], directory[1200], beside[1200];
  snprintf(path, sizeof path, "%s", path_of("a.db"));
  snprintf(directory, sizeof directory, "%s", path_of("closed"));
  snprintf(beside, sizeof beside, "%s", path_of("closed/new.db"));
  CHECK(chmod(path_of("."), 0755) == 0 && mkdir(directory, 0555) == 0 && chmod(path, 0444) == 0);
  pid_t child = fork();
  if (child == 0) {
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) _exit(77);
    cannot_open(HONKER_READONLY, path, NULL);
    cannot_open(HONKER_CANNOT_OPEN, beside, NULL);
    _exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) {
    printf("SKIPPED files without permission: cannot become another user: %s\n", strerror(EPERM));
  } else {
    CHECK(WEXITSTATUS(status) == 0);
  }
}

static void a_database_is_full(void) {
  honker_db_t *db = open_db("a.db");
  honker_tx_t *tx = NULL;
  honker_rows_t *rows = NULL;
  int64_t id = 0;
  OK(honker_enqueue(db, NULL, T("q"), T("x"), NULL, &id, ERR));
  OK(honker_tx_begin(db, &tx, ERR));
  OK(honker_tx_query(tx, T("PRAGMA max_page_count = 1"), NULL, 0, &rows, ERR));
  honker_rows_free(rows);
  static uint8_t payload[100000];
  memset(payload, 'x', sizeof payload);
  id = 1;
  OK(honker_enqueue(db, tx, T("q"), T("small"), NULL, &id, ERR));
  EXPECT(HONKER_FULL, honker_enqueue(db, tx, T("q"), payload, sizeof payload, NULL, &id, ERR));
  CHECK(id == 0);
  honker_job_spec_t specs[] = {HONKER_JOB_SPEC_INIT, HONKER_JOB_SPEC_INIT};
  specs[0].queue = specs[1].queue = (honker_bytes_t){T("q")};
  specs[1].payload = (honker_bytes_t){payload, sizeof payload};
  honker_enqueue_result_t results[2];
  honker_status_t refused = honker_enqueue_many(db, tx, specs, 2, results, NULL);
  /* The transaction may be over, or as it was, and says so. */
  CHECK(refused == HONKER_FULL || refused == HONKER_MISUSE);
  CHECK(results[0].id == 0 && results[1].id == 0);
  honker_status_t committed = honker_tx_commit(tx, NULL);
  CHECK(committed == HONKER_OK || committed == HONKER_MISUSE);
  honker_tx_free(tx);
  int64_t now = integer_of(db, "SELECT count(*) FROM _honker_live");
  CHECK(now == (committed == HONKER_OK ? 2 : 1));
  /* The limit was the transaction's. */
  OK(honker_enqueue(db, NULL, T("q"), payload, sizeof payload, NULL, &id, ERR));
  OK(honker_close(db, ERR));
}

static void the_system_does_not_write(void) {
  honker_db_t *db = open_db("a.db");
  OK(honker_close(db, ERR));
  pid_t child = fork();
  if (child == 0) {
    static uint8_t payload[100000];
    int64_t id = 0;
    memset(payload, 'x', sizeof payload);
    signal(SIGXFSZ, SIG_IGN);
    db = open_db("a.db");
    struct rlimit limit = {200000, 200000};
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    honker_status_t status = HONKER_OK;
    int done = 0;
    for (; status == HONKER_OK && done < 100; done++) {
      status = honker_enqueue(db, NULL, T("q"), payload, sizeof payload, NULL, &id, NULL);
    }
    CHECK((status == HONKER_IO || status == HONKER_FULL) && id == 0);
    CHECK(integer_of(db, "SELECT count(*) FROM _honker_live") == done - 1);
    _exit(0);
  }
  ends_well(child);
}

/* Runs a process that holds the write lock until it is told to let go through `go`. */
static pid_t start_holder(const char *file, int *go) {
  int ready[2], end[2];
  char byte = 0;
  CHECK(pipe(ready) == 0 && pipe(end) == 0);
  pid_t child = fork();
  if (child == 0) {
    honker_tx_t *tx = NULL;
    int64_t id = 0;
    close(end[1]);
    honker_db_t *db = open_db(file);
    OK(honker_tx_begin(db, &tx, ERR));
    OK(honker_enqueue(db, tx, T("q"), T("of the holder"), NULL, &id, ERR));
    CHECK(write(ready[1], "x", 1) == 1);
    CHECK(read(end[0], &byte, 1) >= 0);
    OK(honker_tx_commit(tx, ERR));
    honker_tx_free(tx);
    OK(honker_close(db, ERR));
    _exit(0);
  }
  close(end[0]);
  CHECK(read(ready[0], &byte, 1) == 1);
  close(ready[0]);
  close(ready[1]);
  *go = end[1];
  return child;
}

static void another_process_holds_the_lock(void) {
  OK(honker_close(open_db("a.db"), ERR));
  int go;
  pid_t holder = start_holder("a.db", &go);
  honker_open_opts_t opts = HONKER_OPEN_OPTS_INIT;
  opts.busy_timeout_ms = 150;
  honker_db_t *db = open_with("a.db", &opts);
  int64_t id = 9, begin = now_ms();
  honker_error_t *error = NULL;
  honker_tx_t *tx = (honker_tx_t *)(void *)&tx;
  CHECK(honker_enqueue(db, NULL, T("q"), T("x"), NULL, &id, &error) == HONKER_BUSY);
  CHECK(now_ms() - begin >= 150 && id == 0);
  CHECK(honker_error_sqlite_code(error) == 5);
  honker_error_free(error);
  EXPECT(HONKER_BUSY, honker_tx_begin(db, &tx, ERR));
  CHECK(tx == NULL);
  /* Who reads does not wait. */
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live") == 0);
  close(go);
  ends_well(holder);
  OK(honker_enqueue(db, NULL, T("q"), T("x"), NULL, &id, ERR));
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live") == 2);
  OK(honker_close(db, ERR));
}

/* The lock of a stock SQLite, on a file that honker has not seen yet. */
static void opening_waits_for_a_foreign_lock(void) {
  if (system("command -v sqlite3 >/dev/null") != 0) {
    printf("SKIPPED a foreign lock: there is no sqlite3 command line\n");
    return;
  }
  char command[1200];
  snprintf(command, sizeof command, "sqlite3 -batch '%s'", path_of("a.db"));
  FILE *sqlite = popen(command, "w");
  CHECK(sqlite != NULL);
  fprintf(sqlite, "BEGIN EXCLUSIVE;\nCREATE TABLE theirs (a);\n.shell touch '%s'\n",
          path_of("locked"));
  fflush(sqlite);
  while (access(path_of("locked"), F_OK) != 0) sleep_ms(1);
  honker_open_opts_t opts = HONKER_OPEN_OPTS_INIT;
  opts.busy_timeout_ms = 100;
  int64_t begin = now_ms();
  cannot_open(HONKER_BUSY, path_of("a.db"), &opts);
  CHECK(now_ms() - begin >= 100);
  fputs("COMMIT;\n", sqlite);
  CHECK(pclose(sqlite) == 0);
  honker_db_t *db = open_db("a.db");
  CHECK(integer_of(db, "SELECT count(*) FROM theirs") == 0);
  OK(honker_close(db, ERR));
}

/* Run once more with HONKER_LOCK_SAFE_FILES=off. */
static void a_foreign_descriptor_is_warned_about(void) {
  bool lock_safe = contains(honker_build_info(), "\"lock_safe_files\":true");
  CHECK(getenv("HONKER_LOCK_SAFE_FILES") == NULL || !lock_safe);
  honker_db_t *db = NULL, *second = NULL;
  honker_error_t *error = NULL;
  char uri[1200];
  snprintf(uri, sizeof uri, "file:%s", path_of("a.db"));

  /* What honker itself has open is no reason, by whatever name. */
  OK(honker_open(S(uri), NULL, &db, ERR));
  OK(honker_open(S(path_of("a.db")), NULL, &second, ERR));
  OK(honker_close(second, ERR));
  OK(honker_close(db, ERR));
  OK(honker_close(open_db("a.db"), ERR));

  int foreign = open(path_of("a.db"), O_RDONLY);
  CHECK(foreign >= 0);
  CHECK(honker_open(S(path_of("a.db")), NULL, &db, &error) == HONKER_OK && db != NULL);
  CHECK((error == NULL) == lock_safe);
  if (error != NULL) CHECK(honker_error_status(error) == HONKER_UNSUPPORTED);
  honker_error_free(error);
  /* It works nevertheless, and nobody has to ask for the warning. */
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live") == 0);
  OK(honker_close(db, ERR));
  CHECK(honker_open(S(path_of("a.db")), NULL, &db, NULL) == HONKER_OK);
  honker_tx_t *tx = NULL;
  OK(honker_tx_begin(db, &tx, ERR));
  OK(honker_close(db, ERR));
  /* A transaction that nobody has freed yet does not make the file honker's. */
  CHECK(honker_open(S(path_of("a.db")), NULL, &db, &error) == HONKER_OK);
  CHECK((error == NULL) == lock_safe);
  honker_error_free(error);
  OK(honker_close(db, ERR));
  honker_tx_free(tx);
  close(foreign);
}

/* As many descriptors as are open now, and some more. */
static void leave_descriptors(int more) {
  struct rlimit limit;
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = limit.rlim_max;
  CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  int lowest = dup(0);
  CHECK(lowest > 0 && close(lowest) == 0);
  limit.rlim_cur = (rlim_t)(lowest + more);
  CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/* The system refuses what it has a limited number of: that is no missing file. */
static void the_system_has_no_descriptors_left(void) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    honker_db_t *db = open_db("a.db"), *other = NULL;
    honker_rows_t *rows = NULL;
    leave_descriptors(0);
    EXPECT(HONKER_SYSTEM, honker_open(S(path_of("b.db")), NULL, &other, ERR));
    CHECK(contains(check_message(), strerror(EMFILE)));
    EXPECT(HONKER_SYSTEM, honker_query(db, T("SELECT 1"), NULL, 0, &rows, ERR));
    CHECK(contains(check_message(), strerror(EMFILE)));
    honker_waiter_t *waiter = NULL;
    int refused = 0;
    /* Whatever it is that the last descriptor was needed for. */
    for (int more = 0; waiter == NULL; more++) {
      honker_error_t *err = NULL;
      CHECK(more < 100);
      leave_descriptors(more);
      honker_status_t status = honker_waiter_new(db, &waiter, &err);
      if (status != HONKER_OK) {
        CHECK(status == HONKER_SYSTEM && waiter == NULL);
        CHECK(contains(honker_error_message(err, NULL), strerror(EMFILE)));
        refused++;
      }
      honker_error_free(err);
    }
    CHECK(refused > 1);
    honker_waiter_free(waiter);
    leave_descriptors(100);
    OK(honker_open(S(path_of("b.db")), NULL, &other, ERR));
    OK(honker_close(other, ERR));
    OK(honker_query(db, T("SELECT 1"), NULL, 0, &rows, ERR));
    honker_rows_free(rows);
    OK(honker_close(db, ERR));
    _exit(0);
  }
  ends_well(child);
}

static void *nothing(void *argument) { return argument; }

static void the_system_has_no_threads_left(void) {
  CHECK(chmod(path_of("."), 0777) == 0);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    /* The limit is not for root. */
    if (geteuid() == 0 && setuid(65534) != 0) _exit(0);
    honker_db_t *db = open_db("a.db");
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NPROC, &limit) == 0);
    limit.rlim_cur = 0;
    CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, nothing, NULL) == EAGAIN);
    /* Who waits watches by itself; a thread is needed for a descriptor beside another waiter. */
    honker_waiter_t *waiter = NULL, *beside = NULL;
    int64_t fd = -1;
    OK(honker_waiter_new(db, &waiter, ERR));
    OK(honker_waiter_new(db, &beside, ERR));
    EXPECT(HONKER_TIMEOUT, honker_wait(waiter, 1, ERR));
    /* Also the second time: a descriptor that nobody raises is none. */
    for (int i = 0; i < 2; i++) {
      EXPECT(HONKER_SYSTEM, honker_waiter_fd(waiter, &fd, ERR));
      CHECK(contains(check_message(), strerror(EAGAIN)));
    }
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0);
    OK(honker_waiter_fd(waiter, &fd, ERR));
    honker_waiter_free(waiter);
    honker_waiter_free(beside);
    OK(honker_close(db, ERR));
    _exit(0);
  }
  ends_well(child);
}

const test_t file_tests[] = {
    {"the_system_has_no_descriptors_left", the_system_has_no_descriptors_left},
    {"the_system_has_no_threads_left", the_system_has_no_threads_left},
    {"options_are_checked", options_are_checked},
    {"options_are_heeded", options_are_heeded},
    {"there_is_nothing_in_memory", there_is_nothing_in_memory},
    {"a_path_leads_nowhere", a_path_leads_nowhere},
    {"a_file_is_no_database", a_file_is_no_database},
    {"a_file_gets_damaged", a_file_gets_damaged},
    {"a_file_cannot_be_written", a_file_cannot_be_written},
    {"a_database_is_full", a_database_is_full},
    {"the_system_does_not_write", the_system_does_not_write},
    {"another_process_holds_the_lock", another_process_holds_the_lock},
    {"opening_waits_for_a_foreign_lock", opening_waits_for_a_foreign_lock},
    {"a_foreign_descriptor_is_warned_about", a_foreign_descriptor_is_warned_about},
    {NULL, NULL},
};
