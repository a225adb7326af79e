/*
 * The addon for Node and Bun: libhonker, loaded at run time, called as operations.c says. The
 * package's TypeScript is its only user; programs use that.
 */
#include "addon.h"

#include <stdlib.h>

#define EXPORT(name, function)                                                              \
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, function, in, &value) != napi_ok || \
      napi_set_named_property(env, exports, name, value) != napi_ok) {                      \
    return NULL;                                                                            \
  }

/* What cannot be loaded is no exception: there may be other places to look. The text says why, or
 * is empty. */
static napi_value load(napi_env env, napi_callback_info info) {
  napi_value argument, result = NULL;
  size_t count = 1, size = 0;
  instance_t *in;
  char path[4096], why[1024] = "";
  if (napi_get_cb_info(env, info, &count, &argument, NULL, (void **)&in) != napi_ok ||
      napi_get_value_string_utf8(env, argument, path, sizeof path, &size) != napi_ok) {
    return NULL;
  }
  if (!in->loaded) in->loaded = library_load(&in->lib, path, why, sizeof why) == 0;
  napi_create_string_utf8(env, why, NAPI_AUTO_LENGTH, &result);
  return result;
}

/* The functions that make errors and are given warnings, and whether libuv is to be used. */
static napi_value setup(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  size_t count = 3;
  instance_t *in;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, (void **)&in) == napi_ok && count == 3) {
    napi_create_reference(env, arguments[0], 1, &in->failure);
    napi_create_reference(env, arguments[1], 1, &in->warn);
    napi_get_value_bool(env, arguments[2], &in->polls);
  }
  return NULL;
}

/* What the library knows without a database: its version, and the next boundary of a schedule. */
static napi_value build_info(napi_env env, napi_callback_info info) {
  napi_value result = NULL;
  size_t count = 0;
  instance_t *in;
  if (napi_get_cb_info(env, info, &count, NULL, NULL, (void **)&in) == napi_ok && in->loaded) {
    napi_create_string_utf8(env, in->lib.build_info(), NAPI_AUTO_LENGTH, &result);
  }
  return result;
}

static napi_value cron_next_after(napi_env env, napi_callback_info info) {
  static const operation_t next_after = {"cronNextAfter", "ti", OUT_INTEGER, 0, NULL, NULL};
  napi_value arguments[2], result = NULL;
  size_t count = 2;
  call_t call = {0};
  call.operation = &next_after;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, (void **)&call.in) == napi_ok &&
      call_read(env, &call, arguments, count)) {
    call.status = call.in->lib.cron_next_after(call.slots[0].data, call.slots[0].len,
                                               call.slots[1].number, &call.integer, &call.error);
    if (call.status < 0) {
      if (call_error(env, &call, &result)) napi_throw(env, result);
      result = NULL;
    } else {
      call_result(env, &call, &result);
    }
  }
  call_free(&call);
  return result;
}

static void on_instance_over(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  free(data);
}

NAPI_MODULE_INIT() {
  napi_value value, names;
  instance_t *in = calloc(1, sizeof *in);
  if (in == NULL) abort();
  in->env = env;
  napi_set_instance_data(env, in, on_instance_over, NULL);
  if (napi_create_string_utf8(env, "honker", NAPI_AUTO_LENGTH, &value) != napi_ok ||
      napi_create_threadsafe_function(env, NULL, NULL, value, 0, 1, NULL, NULL, in, deliver,
                                      &in->deliver) != napi_ok) {
    return NULL;
  }
  napi_unref_threadsafe_function(env, in->deliver);
  EXPORT("load", load);
  EXPORT("setup", setup);
  EXPORT("buildInfo", build_info);
  EXPORT("cronNextAfter", cron_next_after);
  EXPORT("database", database_new);
  EXPORT("call", database_call);
  EXPORT("submit", database_submit);
  EXPORT("close", database_close);
  EXPORT("free", handle_free);
  EXPORT("startWaiter", waiter_start);
  EXPORT("refWaiter", waiter_ref);
  if (napi_create_object(env, &names) != napi_ok) return NULL;
  for (size_t i = 0; i < operations_count; i++) {
    if (napi_create_uint32(env, (uint32_t)i, &value) != napi_ok ||
        napi_set_named_property(env, names, operations[i].name, value) != napi_ok) {
      return NULL;
    }
  }
  if (napi_set_named_property(env, exports, "operations", names) != napi_ok) return NULL;
  return exports;
}
