/*
 * The harness of the C tests: assertions, a directory for each test, and shorthands for calls.
 *
 * A call is written EXPECT(HONKER_OK, honker_ack(db, NULL, id, T("worker"), ERR)). EXPECT compares
 * the status, and looks whether the error is there exactly if it has to be, says the same, and can
 * be freed.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "honker.h"

#define CHECK(condition)                                            \
  do {                                                              \
    if (!(condition)) check_failed(__FILE__, __LINE__, #condition); \
  } while (0)

#define EXPECT(wanted, call) check_status((wanted), (call), __FILE__, __LINE__, #call)
#define OK(call) EXPECT(HONKER_OK, call)
/* The error of a call inside EXPECT. */
#define ERR check_error()

/* A text literal as pointer and length, and any C string. */
#define T(literal) (const uint8_t *)(literal), sizeof(literal) - 1
#define S(string) (const uint8_t *)(string), strlen(string)

_Noreturn void check_failed(const char *file, int line, const char *what);
void check_status(honker_status_t wanted, honker_status_t got, const char *file, int line,
                  const char *call);
honker_error_t **check_error(void);
/* The message of the error that EXPECT has last freed on this thread. */
const char *check_message(void);

/* A file in the directory of the running test. The text is valid until four more have been made. */
const char *path_of(const char *file);
honker_db_t *open_db(const char *file);
honker_db_t *open_with(const char *file, const honker_open_opts_t *opts);
/* The only value of the only row of a query; of an integer, and of a text, which is to be freed
 * with free(). */
int64_t integer_of(honker_db_t *db, const char *sql);
char *text_of(honker_text_t *text);
bool bytes_are(honker_bytes_t bytes, const char *text);
bool contains(const char *text, const char *part);
void sleep_ms(int milliseconds);
int64_t now_ms(void);

typedef struct {
  const char *name;
  void (*run)(void);
} test_t;

/* The lists of the files, ended by a name that is NULL. */
extern const test_t argument_tests[];
extern const test_t operation_tests[];
extern const test_t unique_tests[];
extern const test_t batch_tests[];
extern const test_t sql_tests[];
extern const test_t file_tests[];
extern const test_t thread_tests[];
extern const test_t waiting_tests[];
extern const test_t ready_tests[];
extern const test_t worker_tests[];
extern const test_t settings_tests[];
extern const test_t fork_tests[];
extern const test_t panic_tests[];

#endif
