/* What holds of all functions alike: wrong handles, bad texts, NULL outputs, structs of other
 * sizes. */
#include <stdlib.h>

#include "functions.h"

static void every_function_is_in_the_table(void) {
  const char *path = getenv("HONKER_SYMBOLS");
  CHECK(path != NULL);
  FILE *file = fopen(path, "r");
  CHECK(file != NULL);
  char line[256], name[128];
  size_t count = 0;
  while (fgets(line, sizeof line, file) != NULL) {
    if (sscanf(line, "%127s", name) != 1) continue;
    count++;
    bool found = false;
    for (size_t i = 0; i < functions_len; i++)
      found = found || strcmp(functions[i].name, name) == 0;
    if (!found) check_failed(path, (int)count, name);
  }
  fclose(file);
  CHECK(count == functions_len);
}

static void every_call_succeeds(void) {
  for (const function_t *f = functions; f < functions + functions_len; f++) {
    fixture_t fixture = fixture_for(f);
    call_t call = call_on(&fixture);
    run_call(f, &call, HONKER_OK);
    fixture_free(&fixture);
  }
}

static void every_operation_succeeds_in_a_transaction(void) {
  for (const function_t *f = functions; f < functions + functions_len; f++) {
    if ((f->takes & MAY_TX) == 0) continue;
    fixture_t fixture = fixture_new(true);
    call_t call = call_on(&fixture);
    run_call(f, &call, HONKER_OK);
    OK(honker_tx_commit(fixture.tx, ERR));
    fixture_free(&fixture);
  }
}

/* What a call with a wrong handle answers: those that cannot fail notice nothing, or tell that it
 * is none. */
static honker_status_t misuse_of(const function_t *f) {
  return (f->is & FALLIBLE) != 0 ? HONKER_MISUSE : (f->is & TELLS) != 0 ? 1 : HONKER_OK;
}

static void call_with(const function_t *f, const fixture_t *fixture, int kind, void *handle) {
  call_t call = call_on(fixture);
  call.handles[kind] = handle;
  run_call(f, &call, misuse_of(f));
  if ((f->is & FALLIBLE) != 0) {
    call.err = NULL;
    CHECK(f->call(&call) == HONKER_MISUSE);
  }
}

static void no_function_takes_a_wrong_handle(void) {
  fixture_t plain = fixture_new(false), in_tx = fixture_new(true), freed = fixture_new(true);
  call_t freed_call = call_on(&freed);
  fixture_free(&freed);
  int on_stack = 0;
  void *made_up[] = {(void *)1,
                     (void *)8,
                     (void *)16,
                     (void *)0xfff0,
                     (void *)0x10001,
                     (void *)0xdeadbee0,
                     &on_stack,
                     (void *)(UINTPTR_MAX - 15),
                     (void *)UINTPTR_MAX,
                     (void *)INTPTR_MIN,
                     (char *)(void *)plain.db + (16 << 20)};
  for (const function_t *f = functions; f < functions + functions_len; f++) {
    const fixture_t *fixture = (f->takes & TAKES(TX)) != 0 ? &in_tx : &plain;
    call_t good = call_on(&in_tx);
    for (int kind = 0; kind < KINDS; kind++) {
      bool optional = kind == TX && (f->takes & MAY_TX) != 0;
      if ((f->takes & TAKES(kind)) == 0 && !optional) continue;
      if (!optional) call_with(f, fixture, kind, NULL);
      call_with(f, fixture, kind, freed_call.handles[kind]);
      for (size_t i = 0; i < sizeof made_up / sizeof made_up[0]; i++) {
        call_with(f, fixture, kind, made_up[i]);
      }
      for (int other = 0; other < KINDS; other++) {
        if (other != kind) call_with(f, fixture, kind, good.handles[other]);
      }
      /* One of the right kind, but not quite. */
      call_with(f, fixture, kind, (char *)good.handles[kind] + 1);
    }
    if ((f->takes & MAY_TX) != 0) {
      call_with(f, &plain, TX, in_tx.tx);
    }
  }
  /* Nothing of that has done any harm. */
  OK(honker_tx_commit(in_tx.tx, ERR));
  CHECK(integer_of(plain.db, "SELECT n FROM numbers") == 41);
  CHECK(integer_of(in_tx.db, "SELECT n FROM numbers") == 41);
  for (const function_t *f = functions; f < functions + functions_len; f++) {
    if ((f->is & TELLS) == 0) continue;
    call_t call = call_on(&plain);
    run_call(f, &call, HONKER_OK);
  }
  fixture_free(&plain);
  fixture_free(&in_tx);
}

static void the_message_says_what_is_wrong_with_a_handle(void) {
  fixture_t f = fixture_new(false);
  size_t len;
  EXPECT(HONKER_MISUSE, honker_jobs_len(NULL, &len, ERR));
  CHECK(contains(check_message(), "NULL"));
  EXPECT(HONKER_MISUSE, honker_jobs_len((honker_jobs_t *)(void *)f.db, &len, ERR));
  CHECK(contains(check_message(), "is a honker_db_t, not a honker_jobs_t"));
  EXPECT(HONKER_MISUSE, honker_jobs_len((honker_jobs_t *)(void *)3, &len, ERR));
  CHECK(contains(check_message(), "no handle"));
  honker_jobs_free(f.jobs);
  EXPECT(HONKER_MISUSE, honker_jobs_len(f.jobs, &len, ERR));
  CHECK(contains(check_message(), "closed or freed"));
  fixture_free(&f);
}

static void everything_can_be_freed_twice(void) {
  for (const function_t *f = functions; f < functions + functions_len; f++) {
    if ((f->is & ENDS) == 0) continue;
    fixture_t fixture = fixture_for(f);
    call_t call = call_on(&fixture);
    run_call(f, &call, HONKER_OK);
    run_call(f, &call, misuse_of(f));
    /* What has been freed is gone for the other functions as well. */
    for (const function_t *g = functions; g < functions + functions_len; g++) {
      if ((g->takes & f->takes) == 0 || (g->takes & MAY_TX) != 0 || (g->is & FREES) != 0) continue;
      run_call(g, &call, misuse_of(g));
    }
    fixture_free(&fixture);
  }
}

/* How many outputs, texts and structs a function takes: a call that fails tells. */
static call_t shape_of(const function_t *f) {
  fixture_t nothing;
  memset(&nothing, 0, sizeof nothing);
  call_t call = call_on(&nothing);
  call.null_output = 0;
  if ((f->is & FREES) == 0) f->call(&call);
  return call;
}

static void no_output_may_be_null(void) {
  fixture_t plain = fixture_new(false), in_tx = fixture_new(true);
  int checked = 0;
  for (const function_t *f = functions; f < functions + functions_len; f++) {
    int outputs = shape_of(f).outputs;
    for (int output = 0; output < outputs; output++) {
      call_t call = call_on((f->takes & TAKES(TX)) != 0 ? &in_tx : &plain);
      call.null_output = output;
      run_call(f, &call, HONKER_NULL_ARG);
      checked++;
    }
  }
  CHECK(checked > 30);
  fixture_free(&plain);
  fixture_free(&in_tx);
}

static void every_text_is_checked(void) {
  static const honker_status_t wanted[] = {[TEXT_NULL] = HONKER_NULL_ARG,
                                           [TEXT_NOT_UTF8] = HONKER_UTF8,
                                           [TEXT_WITH_NUL] = HONKER_INVALID,
                                           [TEXT_HUGE] = HONKER_INVALID};
  fixture_t plain = fixture_new(false), in_tx = fixture_new(true);
  int checked = 0;
  for (const function_t *f = functions; f < functions + functions_len; f++) {
    int texts = shape_of(f).texts;
    for (int text = 0; text < texts; text++) {
      for (text_variant_t variant = TEXT_NULL; variant < TEXT_VARIANTS; variant++) {
        call_t call = call_on((f->takes & TAKES(TX)) != 0 ? &in_tx : &plain);
        call.bad_text = text;
        call.text_variant = variant;
        run_call(f, &call, wanted[variant]);
        checked++;
      }
    }
  }
  CHECK(checked > 100);
  fixture_free(&plain);
  fixture_free(&in_tx);
}

static void structs_may_be_older_or_newer(void) {
  static const honker_status_t wanted[] = {[STRUCT_GOOD] = HONKER_OK,
                                           [STRUCT_EMPTY] = HONKER_INVALID,
                                           [STRUCT_TOO_SHORT] = HONKER_INVALID,
                                           [STRUCT_ODD] = HONKER_INVALID,
                                           [STRUCT_TOO_LONG] = HONKER_INVALID,
                                           [STRUCT_OLDER] = HONKER_OK,
                                           [STRUCT_NEWER] = HONKER_OK,
                                           [STRUCT_NEWER_SET] = HONKER_UNSUPPORTED,
                                           [STRUCT_RESERVED_SET] = HONKER_UNSUPPORTED};
  int checked = 0;
  for (const function_t *f = functions; f < functions + functions_len; f++) {
    call_t shape = shape_of(f);
    if (shape.structs == 0) continue;
    bool is_view = shape.outputs > 0 && shape.output_heads[0] != 0;
    /* What a view contains before the call does not matter. */
    struct_variant_t end = is_view ? STRUCT_NEWER_SET : STRUCT_VARIANTS;
    for (struct_variant_t variant = STRUCT_GOOD; variant < end; variant++) {
      fixture_t fixture = fixture_for(f);
      call_t call = call_on(&fixture);
      call.bad_struct = 0;
      call.struct_variant = variant;
      run_call(f, &call, wanted[variant]);
      if (is_view && variant == STRUCT_NEWER) {
        for (size_t i = call.output_sizes[0] - 24; i < call.output_sizes[0]; i++)
          CHECK(call.output[0][i] == 0);
      }
      fixture_free(&fixture);
    }
    checked++;
  }
  CHECK(checked == 15);
}

const test_t argument_tests[] = {
    {"every_function_is_in_the_table", every_function_is_in_the_table},
    {"every_call_succeeds", every_call_succeeds},
    {"every_operation_succeeds_in_a_transaction", every_operation_succeeds_in_a_transaction},
    {"no_function_takes_a_wrong_handle", no_function_takes_a_wrong_handle},
    {"the_message_says_what_is_wrong_with_a_handle", the_message_says_what_is_wrong_with_a_handle},
    {"everything_can_be_freed_twice", everything_can_be_freed_twice},
    {"no_output_may_be_null", no_output_may_be_null},
    {"every_text_is_checked", every_text_is_checked},
    {"structs_may_be_older_or_newer", structs_may_be_older_or_newer},
    {NULL, NULL},
};
