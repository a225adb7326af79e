/* A panic in every entry point. Only in a library that was built with the feature `faults` can one
 * be planted. */
#include "functions.h"

#ifndef HONKER_FAULTS

const test_t panic_tests[] = {{NULL, NULL}};

#else

void honker_fault_panic_in(const char *name);

static void a_panic_is_an_error(void) {
  for (const function_t *f = functions; f < functions + functions_len; f++) {
    if ((f->is & FALLIBLE) == 0) continue;
    fixture_t fixture = fixture_for(f);
    call_t call = call_on(&fixture);
    honker_fault_panic_in(f->name);
    run_call(f, &call, HONKER_PANIC);
    CHECK(contains(check_message(), f->name) && contains(check_message(), "planted by a test"));
    /* Where it happened stands in the message, and not on standard error. */
    CHECK(contains(check_message(), "fault.rs:"));
    run_call(f, &call, HONKER_OK);
    fixture_free(&fixture);
  }
}

static void a_panic_in_a_function_that_frees_is_swallowed(void) {
  for (const function_t *f = functions; f < functions + functions_len; f++) {
    if ((f->is & FREES) == 0) continue;
    fixture_t fixture = fixture_for(f);
    call_t call = call_on(&fixture);
    honker_fault_panic_in(f->name);
    run_call(f, &call, HONKER_OK);
    honker_fault_panic_in("");
    run_call(f, &call, HONKER_OK);
    fixture_free(&fixture);
  }
}

static void plant_inside(const function_t *f) {
  char name[128];
  snprintf(name, sizeof name, "%s inside", f->name);
  honker_fault_panic_in(name);
}

static void a_panic_in_an_operation_undoes_it(void) {
  for (const function_t *f = functions; f < functions + functions_len; f++) {
    if ((f->takes & MAY_TX) == 0) continue;
    fixture_t fixture = fixture_for(f);
    call_t call = call_on(&fixture);
    plant_inside(f);
    run_call(f, &call, HONKER_PANIC);
    run_call(f, &call, HONKER_OK);
    fixture_free(&fixture);
  }
}

static void a_panic_in_a_transaction_rolls_it_back(void) {
  for (const function_t *f = functions; f < functions + functions_len; f++) {
    if ((f->takes & (MAY_TX | TAKES(TX))) == 0 || (f->is & FALLIBLE) == 0) continue;
    fixture_t fixture = fixture_new(true);
    call_t call = call_on(&fixture);
    int64_t changes = 0;
    OK(honker_tx_execute(fixture.tx, T("UPDATE numbers SET n = 99"), NULL, 0, &changes, ERR));
    plant_inside(f);
    run_call(f, &call, HONKER_PANIC);
    run_call(f, &call, HONKER_MISUSE);
    EXPECT(HONKER_MISUSE, honker_tx_commit(fixture.tx, ERR));
    CHECK(integer_of(fixture.db, "SELECT n FROM numbers") == 41);
    /* The writer is free again. */
    OK(honker_notify(fixture.db, NULL, T("c"), T("x"), &changes, ERR));
    fixture_free(&fixture);
  }
}

const test_t panic_tests[] = {
    {"a_panic_is_an_error", a_panic_is_an_error},
    {"a_panic_in_a_function_that_frees_is_swallowed",
     a_panic_in_a_function_that_frees_is_swallowed},
    {"a_panic_in_an_operation_undoes_it", a_panic_in_an_operation_undoes_it},
    {"a_panic_in_a_transaction_rolls_it_back", a_panic_in_a_transaction_rolls_it_back},
    {NULL, NULL},
};

#endif
