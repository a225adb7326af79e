/* What the programs here share. They compile as C99 and as C++17. */
#ifndef CHECK_H
#define CHECK_H

#include <honker.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                  \
  do {                                                                    \
    if (!(condition)) {                                                   \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);     \
      exit(1);                                                            \
    }                                                                     \
  } while (0)

/* Ends the program, with the error's message, if a call of honker did not answer HONKER_OK. */
#define OK(call)                                                          \
  do {                                                                    \
    honker_error_t *err = NULL;                                           \
    if ((call) != HONKER_OK) {                                            \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call,       \
              honker_error_message(err, NULL));                           \
      exit(1);                                                            \
    }                                                                     \
  } while (0)

/* A text as the two arguments that honker takes. */
#define TEXT(text) (const uint8_t *)(text), strlen(text)

/* Enqueues a job, claims it, and acks it. */
static inline void use_honker(const char *file) {
  honker_db_t *db = NULL;
  honker_jobs_t *jobs = NULL;
  honker_job_view_t job = HONKER_JOB_VIEW_INIT;
  int64_t id = 0;
  size_t count = 0;
  CHECK(honker_abi_version() == HONKER_ABI_VERSION);
  OK(honker_open(TEXT(file), NULL, &db, &err));
  OK(honker_enqueue(db, NULL, TEXT("q"), TEXT("{\"n\":1}"), NULL, &id, &err));
  OK(honker_claim(db, NULL, TEXT("q"), TEXT("w"), 10, 60, &jobs, &err));
  OK(honker_jobs_len(jobs, &count, &err));
  CHECK(count == 1);
  OK(honker_jobs_get(jobs, 0, &job, &err));
  CHECK(job.id == id && job.payload.len == 7 && memcmp(job.payload.data, "{\"n\":1}", 7) == 0);
  honker_jobs_free(jobs);
  OK(honker_ack(db, NULL, id, TEXT("w"), &err));
  CHECK(honker_ack(db, NULL, id, TEXT("w"), NULL) == HONKER_LOST);
  OK(honker_close(db, &err));
}

#endif
