/*
 * A program that has a SQLite of its own, the system's, beside the one inside libhonker: beside_sqlite FILE. Two
 * threads use the same file at once, one through each. Nothing may be lost, the file has to stay whole, and the
 * system's has to be the system's.
 */
#include "check.h"

#include <pthread.h>
#include <sqlite3.h>

enum { ROUNDS = 100 };

static const char *file;

#define SQLITE(call) CHECK((call) == SQLITE_OK)

static sqlite3 *open_sqlite(void) {
  sqlite3 *db = NULL;
  SQLITE(sqlite3_open(file, &db));
  SQLITE(sqlite3_busy_timeout(db, 60000));
  return db;
}

/* Opens and closes throughout: it is closing that drops the other copy's locks, if anything does. */
static void *through_sqlite(void *unused) {
  int i;
  for (i = 0; i < ROUNDS; i++) {
    sqlite3 *db = open_sqlite();
    SQLITE(sqlite3_exec(db, "INSERT INTO mine (n) VALUES (1)", NULL, NULL, NULL));
    SQLITE(sqlite3_close(db));
  }
  return unused;
}

static void *through_honker(void *unused) {
  honker_open_opts_t opts = HONKER_OPEN_OPTS_INIT;
  int i;
  opts.busy_timeout_ms = 60000;
  for (i = 0; i < ROUNDS; i++) {
    honker_db_t *db = NULL;
    int64_t id = 0;
    OK(honker_open(TEXT(file), &opts, &db, &err));
    OK(honker_enqueue(db, NULL, TEXT("q"), TEXT("1"), NULL, &id, &err));
    OK(honker_close(db, &err));
  }
  return unused;
}

static int number(sqlite3 *db, const char *sql) {
  sqlite3_stmt *statement = NULL;
  int result;
  SQLITE(sqlite3_prepare_v2(db, sql, -1, &statement, NULL));
  CHECK(sqlite3_step(statement) == SQLITE_ROW);
  result = sqlite3_column_int(statement, 0);
  SQLITE(sqlite3_finalize(statement));
  return result;
}

int main(int argc, char **argv) {
  pthread_t sqlite_thread, honker_thread;
  sqlite3 *db;
  int at_once;
  CHECK(argc == 2);
  file = argv[1];

#ifndef __APPLE__ /* whose header is the SDK's, and the library the system's */
  CHECK(strcmp(sqlite3_sourceid(), SQLITE_SOURCE_ID) == 0);
#endif

  use_honker(file); /* creates the file */
  db = open_sqlite();
  SQLITE(sqlite3_exec(db, "CREATE TABLE mine (n INTEGER)", NULL, NULL, NULL));
  SQLITE(sqlite3_close(db));

  CHECK(pthread_create(&sqlite_thread, NULL, through_sqlite, NULL) == 0);
  /* Where files are not safe for two copies at once, honker waits until the other is done. */
  at_once = strstr(honker_build_info(), "\"lock_safe_files\":true") != NULL;
  if (!at_once) CHECK(pthread_join(sqlite_thread, NULL) == 0);
  CHECK(pthread_create(&honker_thread, NULL, through_honker, NULL) == 0);
  if (at_once) CHECK(pthread_join(sqlite_thread, NULL) == 0);
  CHECK(pthread_join(honker_thread, NULL) == 0);

  db = open_sqlite();
  CHECK(number(db, "SELECT count(*) FROM mine") == ROUNDS);
  CHECK(number(db, "SELECT count(*) FROM _honker_live") == ROUNDS);
  CHECK(number(db, "SELECT integrity_check = 'ok' FROM pragma_integrity_check") == 1);
  SQLITE(sqlite3_close(db));
  return 0;
}
