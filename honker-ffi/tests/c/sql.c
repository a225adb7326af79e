/* The caller's own SQL: values in both directions, and what is refused. */
#include <stdint.h>

#include "check.h"

static honker_value_t of_type(uint32_t type) {
  honker_value_t value;
  memset(&value, 0, sizeof value);
  value.value_type = type;
  return value;
}

static honker_value_t integer(int64_t number) {
  honker_value_t value = of_type(HONKER_TYPE_INTEGER);
  value.integer = number;
  return value;
}

static honker_value_t of_bytes(uint32_t type, const void *data, size_t len) {
  honker_value_t value = of_type(type);
  value.bytes = (honker_bytes_t){data, len};
  return value;
}

static void values_go_in_and_come_out(void) {
  honker_db_t *db = open_db("a.db");
  honker_value_t params[] = {of_type(HONKER_TYPE_NULL),
                             integer(INT64_MIN),
                             of_type(HONKER_TYPE_REAL),
                             of_bytes(HONKER_TYPE_TEXT, "\xc3\xa4", 2),
                             of_bytes(HONKER_TYPE_BLOB, "\0\xff", 2),
                             of_bytes(HONKER_TYPE_TEXT, NULL, 0),
                             of_bytes(HONKER_TYPE_BLOB, NULL, 0)};
  params[2].real = 0.5;
  /* Fields that do not count may contain anything. */
  params[0].bytes = params[1].bytes = params[2].bytes = (honker_bytes_t){(const uint8_t *)1, 99};
  honker_rows_t *rows = NULL;
  size_t length = 0, width = 0;
  OK(honker_query(db, T("SELECT ?1 AS a, ?2, ?3, ?4, ?5, ?6, ?7"), params, 7, &rows, ERR));
  OK(honker_rows_size(rows, &length, &width, ERR));
  CHECK(length == 1 && width == 7);
  const uint8_t *name = NULL;
  size_t len = 0;
  OK(honker_rows_column(rows, 0, &name, &len, ERR));
  CHECK(len == 1 && name[0] == 'a');
  EXPECT(HONKER_INVALID, honker_rows_column(rows, 7, &name, &len, ERR));
  CHECK(name == NULL && len == 0);
  honker_value_t got[7];
  for (size_t column = 0; column < 7; column++)
    OK(honker_rows_get(rows, 0, column, &got[column], ERR));
  for (size_t column = 0; column < 7; column++) {
    CHECK(got[column].value_type == params[column].value_type && got[column].reserved == 0);
    CHECK(got[column].integer == (column == 1 ? INT64_MIN : 0));
    CHECK(got[column].real == (column == 2 ? 0.5 : 0.0));
    CHECK(got[column].bytes.len == (column == 3 || column == 4 ? 2 : 0));
    CHECK((got[column].bytes.data == NULL) == (column < 3));
    CHECK(column < 3 || (uintptr_t)got[column].bytes.data > 0xffff);
  }
  CHECK(memcmp(got[3].bytes.data, "\xc3\xa4", 2) == 0 &&
        memcmp(got[4].bytes.data, "\0\xff", 2) == 0);
  EXPECT(HONKER_INVALID, honker_rows_get(rows, 1, 0, &got[0], ERR));
  EXPECT(HONKER_INVALID, honker_rows_get(rows, 0, 7, &got[1], ERR));
  EXPECT(HONKER_INVALID, honker_rows_get(rows, SIZE_MAX, SIZE_MAX, &got[1], ERR));
  CHECK(got[1].value_type == HONKER_TYPE_NULL && got[1].integer == 0);
  honker_rows_free(rows);
  /* No row is a result like any other. */
  OK(honker_query(db, T("SELECT 1 AS empty, '' AS \"\" WHERE 0"), NULL, 0, &rows, ERR));
  OK(honker_rows_size(rows, &length, &width, ERR));
  CHECK(length == 0 && width == 2);
  OK(honker_rows_column(rows, 1, &name, &len, ERR));
  CHECK(len == 0 && (uintptr_t)name > 0xffff);
  honker_rows_free(rows);
  OK(honker_close(db, ERR));
}

static void parameters_are_checked(void) {
  honker_db_t *db = open_db("a.db");
  honker_rows_t *rows = (honker_rows_t *)(void *)&rows;
  honker_value_t value[2] = {integer(1), integer(2)};
  EXPECT(HONKER_INVALID, honker_query(db, T("SELECT ?1"), NULL, 0, &rows, ERR));
  CHECK(rows == NULL);
  EXPECT(HONKER_INVALID, honker_query(db, T("SELECT ?1"), value, 2, &rows, ERR));
  EXPECT(HONKER_NULL_ARG, honker_query(db, T("SELECT ?1"), NULL, 1, &rows, ERR));
  EXPECT(HONKER_INVALID, honker_query(db, T("SELECT ?1"), value, SIZE_MAX, &rows, ERR));
  EXPECT(HONKER_INVALID,
         honker_query(db, T("SELECT ?1"), (honker_value_t *)(void *)((char *)value + 1), 1, &rows,
                      ERR));
  value[0] = of_type(5);
  EXPECT(HONKER_INVALID, honker_query(db, T("SELECT ?1"), value, 1, &rows, ERR));
  CHECK(contains(check_message(), "parameter 1"));
  value[0] = of_bytes(HONKER_TYPE_TEXT, NULL, 2);
  EXPECT(HONKER_NULL_ARG, honker_query(db, T("SELECT ?1"), value, 1, &rows, ERR));
  value[0] = of_bytes(HONKER_TYPE_BLOB, NULL, 2);
  EXPECT(HONKER_NULL_ARG, honker_query(db, T("SELECT ?1"), value, 1, &rows, ERR));
  value[0] = of_bytes(HONKER_TYPE_TEXT, "\xff", 1);
  EXPECT(HONKER_UTF8, honker_query(db, T("SELECT ?1"), value, 1, &rows, ERR));
  value[0] = of_bytes(HONKER_TYPE_TEXT, "a\0b", 3);
  EXPECT(HONKER_INVALID, honker_query(db, T("SELECT ?1"), value, 1, &rows, ERR));
  value[0] = of_bytes(HONKER_TYPE_BLOB, "a", SIZE_MAX);
  EXPECT(HONKER_INVALID, honker_query(db, T("SELECT ?1"), value, 1, &rows, ERR));
  OK(honker_close(db, ERR));
}

static void statements_are_refused(void) {
  honker_db_t *db = open_db("a.db");
  honker_rows_t *rows = NULL;
  EXPECT(HONKER_SQL, honker_query(db, T("SELECT FROM"), NULL, 0, &rows, ERR));
  EXPECT(HONKER_SQL, honker_query(db, T("SELECT * FROM missing"), NULL, 0, &rows, ERR));
  EXPECT(HONKER_INVALID, honker_query(db, T("SELECT 1; SELECT 2"), NULL, 0, &rows, ERR));
  EXPECT(HONKER_READONLY, honker_query(db, T("CREATE TABLE a (b)"), NULL, 0, &rows, ERR));
  EXPECT(HONKER_READONLY, honker_query(db, T("DELETE FROM _honker_live"), NULL, 0, &rows, ERR));
  EXPECT(HONKER_SQL, honker_query(db, T("SELECT honker_enqueue('q', '1')"), NULL, 0, &rows, ERR));
  EXPECT(HONKER_TOO_BIG, honker_query(db, T("SELECT zeroblob(2000000000)"), NULL, 0, &rows, ERR));
  CHECK(rows == NULL);
  /* A BEGIN would keep the reader in the past, a pragma would stay on its connection. */
  EXPECT(HONKER_INVALID, honker_query(db, T("BEGIN"), NULL, 0, &rows, ERR));
  EXPECT(HONKER_INVALID, honker_query(db, T("PRAGMA query_only = OFF"), NULL, 0, &rows, ERR));
  CHECK(rows == NULL);
  int64_t id = 0;
  OK(honker_enqueue(db, NULL, T("q"), T("x"), NULL, &id, ERR));
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live") == 1);
  OK(honker_close(db, ERR));
}

static void a_transaction_runs_statements(void) {
  honker_db_t *db = open_db("a.db");
  honker_tx_t *tx = NULL;
  honker_rows_t *rows = NULL;
  honker_value_t value = integer(3), got;
  int64_t changes = 9;
  OK(honker_tx_begin(db, &tx, ERR));
  OK(honker_tx_execute(tx, T("CREATE TABLE a (b UNIQUE)"), NULL, 0, &changes, ERR));
  CHECK(changes == 0);
  OK(honker_tx_execute(tx, T("INSERT INTO a VALUES (?1), (?1 + 1)"), &value, 1, &changes, ERR));
  CHECK(changes == 2);
  OK(honker_tx_execute(tx, T("SELECT * FROM a"), NULL, 0, &changes, ERR));
  CHECK(changes == 0);
  EXPECT(HONKER_CONSTRAINT,
         honker_tx_execute(tx, T("INSERT INTO a VALUES (?1)"), &value, 1, &changes, ERR));
  EXPECT(HONKER_SQL, honker_tx_execute(tx, T("INSERT INTO"), NULL, 0, &changes, ERR));
  /* The transaction has survived both, and sees what it has done. */
  OK(honker_tx_query(tx, T("SELECT count(*), honker_enqueue('q', '1') FROM a"), NULL, 0, &rows,
                     ERR));
  OK(honker_rows_get(rows, 0, 0, &got, ERR));
  CHECK(got.integer == 2);
  honker_rows_free(rows);
  OK(honker_tx_query(tx, T("INSERT INTO a VALUES (99) RETURNING b"), NULL, 0, &rows, ERR));
  OK(honker_rows_get(rows, 0, 0, &got, ERR));
  CHECK(got.integer == 99);
  OK(honker_tx_commit(tx, ERR));
  honker_tx_free(tx);
  CHECK(integer_of(db, "SELECT count(*) FROM a") == 3);
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live") == 1);
  OK(honker_close(db, ERR));
  honker_rows_free(rows);
}

static void a_statement_cannot_end_the_transaction(void) {
  honker_db_t *db = open_db("a.db");
  honker_tx_t *tx = NULL;
  int64_t changes = 0, id = 0;
  OK(honker_tx_begin(db, &tx, ERR));
  OK(honker_enqueue(db, tx, T("q"), T("x"), NULL, &id, ERR));
  EXPECT(HONKER_INVALID, honker_tx_execute(tx, T("COMMIT"), NULL, 0, &changes, ERR));
  EXPECT(HONKER_INVALID, honker_tx_execute(tx, T("ROLLBACK"), NULL, 0, &changes, ERR));
  EXPECT(HONKER_INVALID, honker_tx_execute(tx, T("PRAGMA query_only = 1"), NULL, 0, &changes, ERR));
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live") == 0);
  OK(honker_tx_commit(tx, ERR));
  honker_tx_free(tx);
  OK(honker_enqueue(db, NULL, T("q"), T("x"), NULL, &id, ERR));
  CHECK(integer_of(db, "SELECT count(*) FROM _honker_live") == 2);
  OK(honker_close(db, ERR));
}

const test_t sql_tests[] = {
    {"values_go_in_and_come_out", values_go_in_and_come_out},
    {"parameters_are_checked", parameters_are_checked},
    {"statements_are_refused", statements_are_refused},
    {"a_transaction_runs_statements", a_transaction_runs_statements},
    {"a_statement_cannot_end_the_transaction", a_statement_cannot_end_the_transaction},
    {NULL, NULL},
};
