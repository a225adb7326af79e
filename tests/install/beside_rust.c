/*
 * A program that links a second Rust library statically, one that cares nothing for whom it is linked with:
 * beside_rust FILE. With -DFAULTS, libhonker is the one in which a panic can be planted.
 */
#include "check.h"

#ifdef __cplusplus
extern "C" {
#endif
int neighbour_catches_its_panic(void);
char *neighbour_text(void);
void neighbour_free(char *text);
int neighbour_counts_jobs(const char *file);
void honker_fault_panic_in(const char *name);
#ifdef __cplusplus
}
#endif

int main(int argc, char **argv) {
  int round;
  char *text;
  CHECK(argc == 2);
  for (round = 0; round < 2; round++) {
    use_honker(argv[1]);
    CHECK(neighbour_catches_its_panic() == 1);
    text = neighbour_text();
    CHECK(strlen(text) == 1000000);
    neighbour_free(text);
    CHECK(neighbour_counts_jobs(argv[1]) == 0);
#ifdef FAULTS
    {
      honker_db_t *db = NULL;
      honker_error_t *err = NULL;
      honker_fault_panic_in("honker_open");
      CHECK(honker_open(TEXT(argv[1]), NULL, &db, &err) == HONKER_PANIC);
      CHECK(strstr(honker_error_message(err, NULL), "planted by a test") != NULL);
      honker_error_free(err);
    }
#endif
  }
  return 0;
}
