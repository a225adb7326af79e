/*
 * Between JavaScript and the library: arguments become plain memory that belongs to the call,
 * results become values. All of it runs on the environment's thread. The package's own code has
 * checked what its users gave; what is checked here keeps memory safe.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "addon.h"

#define LIB (&call->in->lib)

bool wrong(napi_env env, const char *message) {
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (!pending) napi_throw_type_error(env, "HONKER_INVALID", message);
  return false;
}

/* --- Memory of a call. --- */

void *call_memory(call_t *call, size_t size) {
  size = (size + 15) & ~(size_t)15;
  if (INLINE_BYTES - call->used >= size) {
    void *found = call->bytes + call->used;
    call->used += size;
    return found;
  }
  chunk_t *chunk = malloc(sizeof *chunk + size + 16);
  if (chunk == NULL) abort(); /* as Node does */
  chunk->next = call->chunks;
  call->chunks = chunk;
  return (void *)(((uintptr_t)chunk->bytes + 15) & ~(uintptr_t)15);
}

static void free_pointer(call_t *call) {
  void *pointer = call->pointer;
  call->pointer = NULL;
  if (pointer == NULL) return;
  switch (call->operation->out) {
    case OUT_TEXT:
      LIB->text_free(pointer);
      break;
    case OUT_JOBS:
    case OUT_SETTLED:
      LIB->jobs_free(pointer);
      break;
    case OUT_EVENTS:
      LIB->events_free(pointer);
      break;
    case OUT_FIRES:
      LIB->fires_free(pointer);
      break;
    case OUT_ROWS:
      LIB->rows_free(pointer);
      break;
    default:
      break;
  }
}

void call_free(call_t *call) {
  free_pointer(call);
  if (call->error != NULL) LIB->error_free(call->error);
  call->error = NULL;
  while (call->chunks != NULL) {
    chunk_t *next = call->chunks->next;
    free(call->chunks);
    call->chunks = next;
  }
  if (call->on_heap) free(call);
}

/* --- Arguments. --- */

static bool is_nothing(napi_env env, napi_value value, napi_valuetype *type) {
  if (napi_typeof(env, value, type) != napi_ok) *type = napi_undefined;
  return *type == napi_undefined || *type == napi_null;
}

static bool read_text(napi_env env, call_t *call, napi_value value, const void **data,
                      size_t *len) {
  size_t size = 0;
  const size_t room = INLINE_BYTES - call->used;
  /* Mostly it fits, and one call is enough to know. */
  if (room > 16) {
    char *place = call->bytes + call->used;
    if (napi_get_value_string_utf8(env, value, place, room, &size) != napi_ok) {
      return wrong(env, "a text is expected");
    }
    if (size + 4 < room) {
      *data = place;
      *len = size;
      call->used += (size + 15) & ~(size_t)15;
      if (call->used > INLINE_BYTES) call->used = INLINE_BYTES;
      return true;
    }
  }
  if (napi_get_value_string_utf8(env, value, NULL, 0, &size) != napi_ok)
    return wrong(env, "a text is expected");
  char *place = call_memory(call, size + 1);
  TRY(napi_get_value_string_utf8(env, value, place, size + 1, &size));
  *data = place;
  *len = size;
  return true;
}

static bool read_integer(napi_env env, napi_value value, int64_t *number) {
  napi_valuetype type;
  TRY(napi_typeof(env, value, &type));
  if (type == napi_number) {
    double real;
    TRY(napi_get_value_double(env, value, &real));
    if (real != trunc(real) || fabs(real) > 9007199254740991.0)
      return wrong(env, "a whole number is expected");
    *number = (int64_t)real;
    return true;
  }
  if (type == napi_bigint) {
    bool lossless;
    TRY(napi_get_value_bigint_int64(env, value, number, &lossless));
    return lossless || wrong(env, "an integer of 64 bits is expected");
  }
  return wrong(env, "an integer is expected");
}

static bool read_optional_integer(napi_env env, napi_value value, int64_t *number) {
  napi_valuetype type;
  return is_nothing(env, value, &type) || read_integer(env, value, number);
}

static bool read_handle(napi_env env, napi_value value, const void **pointer) {
  void *found = NULL;
  if (napi_get_value_external(env, value, &found) != napi_ok)
    return wrong(env, "a handle is expected");
  *pointer = ((handle_t *)found)->pointer;
  return true;
}

/* Takes over what the handle stands for: from now on it is the call that frees it. */
static bool take_handle(napi_env env, call_t *call, napi_value value, const void **taken) {
  void *found = NULL;
  if (napi_get_value_external(env, value, &found) != napi_ok)
    return wrong(env, "a handle is expected");
  handle_t *copy = call_memory(call, sizeof *copy);
  *copy = *(handle_t *)found;
  ((handle_t *)found)->pointer = NULL;
  *taken = copy;
  return true;
}

/* What is wanted of an array's elements, one after the other. Stops at the first that does not fit.
 */
typedef struct {
  napi_env env;
  call_t *call;
  napi_value array;
  uint32_t at;
  bool ok;
} fields_t;

static napi_value field(fields_t *fields, bool *there) {
  napi_value value = NULL;
  napi_valuetype type;
  *there = fields->ok &&
           napi_get_element(fields->env, fields->array, fields->at++, &value) == napi_ok &&
           !is_nothing(fields->env, value, &type);
  return value;
}

static void field_integer(fields_t *fields, int64_t *number) {
  bool there;
  napi_value value = field(fields, &there);
  if (there) fields->ok = read_integer(fields->env, value, number);
}

static void field_uint32(fields_t *fields, uint32_t *number) {
  int64_t wide = *number;
  field_integer(fields, &wide);
  *number = (uint32_t)wide;
}

static void field_double(fields_t *fields, double *number) {
  bool there;
  napi_value value = field(fields, &there);
  if (there && napi_get_value_double(fields->env, value, number) != napi_ok) {
    fields->ok = wrong(fields->env, "a number is expected");
  }
}

static void field_text(fields_t *fields, honker_bytes_t *text) {
  bool there;
  napi_value value = field(fields, &there);
  if (!there) return;
  const void *data = NULL;
  fields->ok = read_text(fields->env, fields->call, value, &data, &text->len);
  text->data = data;
}

static void field_flag(fields_t *fields, uint64_t *all, uint64_t flag, napi_value *value) {
  napi_valuetype type;
  if (!fields->ok) return;
  fields->ok = napi_get_element(fields->env, fields->array, fields->at++, value) == napi_ok;
  if (fields->ok && napi_typeof(fields->env, *value, &type) == napi_ok && type != napi_undefined)
    *all |= flag;
}

static bool read_enqueue_options(napi_env env, call_t *call, napi_value array,
                                 const honker_enqueue_opts_t **options) {
  napi_valuetype type;
  *options = NULL;
  if (is_nothing(env, array, &type)) return true;
  honker_enqueue_opts_t *read = call_memory(call, sizeof *read);
  *read = (honker_enqueue_opts_t)HONKER_ENQUEUE_OPTS_INIT;
  fields_t fields = {env, call, array, 0, true};
  field_integer(&fields, &read->run_at);
  field_integer(&fields, &read->delay_s);
  field_integer(&fields, &read->expires_s);
  field_integer(&fields, &read->priority);
  field_integer(&fields, &read->max_attempts);
  field_text(&fields, &read->metadata);
  field_text(&fields, &read->concurrency_key);
  field_integer(&fields, &read->batch_id);
  field_integer(&fields, &read->member_job_id);
  field_text(&fields, &read->member_worker_id);
  field_text(&fields, &read->unique_key);
  field_uint32(&fields, &read->unique_until);
  field_uint32(&fields, &read->on_conflict);
  field_integer(&fields, &read->unique_for_s);
  field_integer(&fields, &read->max_run_s);
  *options = read;
  return fields.ok || wrong(env, "these are no options of an enqueue");
}

static bool array_length(napi_env env, napi_value array, uint32_t *length) {
  return napi_get_array_length(env, array, length) == napi_ok || wrong(env, "an array is expected");
}

/* Three elements for each job: queue, payload, options. */
static bool read_specs(napi_env env, call_t *call, napi_value array, slot_t *slot) {
  uint32_t length;
  if (!array_length(env, array, &length)) return false;
  const uint32_t count = length / 3;
  honker_job_spec_t *specs = call_memory(call, (count + 1) * sizeof *specs);
  for (uint32_t i = 0; i < count; i++) {
    specs[i] = (honker_job_spec_t)HONKER_JOB_SPEC_INIT;
    fields_t fields = {env, call, array, i * 3, true};
    field_text(&fields, &specs[i].queue);
    field_text(&fields, &specs[i].payload);
    napi_value options;
    if (!fields.ok) return false;
    TRY(napi_get_element(env, array, i * 3 + 2, &options));
    if (!read_enqueue_options(env, call, options, &specs[i].opts)) return false;
  }
  slot->data = specs;
  slot->len = count;
  call->pointer = call_memory(call, (count + 1) * sizeof(honker_enqueue_result_t));
  return true;
}

/* A Float64Array of whole numbers, or an array. */
static bool read_ids(napi_env env, call_t *call, napi_value array, slot_t *slot) {
  bool typed = false;
  if (napi_is_typedarray(env, array, &typed) == napi_ok && typed) {
    napi_typedarray_type type;
    void *data = NULL;
    size_t count = 0;
    TRY(napi_get_typedarray_info(env, array, &type, &count, &data, NULL, NULL));
    if (type != napi_float64_array) return wrong(env, "ids are doubles");
    int64_t *ids = call_memory(call, (count + 1) * sizeof *ids);
    for (size_t i = 0; i < count; i++) ids[i] = (int64_t)((const double *)data)[i];
    slot->data = ids;
    slot->len = count;
    return true;
  }
  uint32_t length;
  if (!array_length(env, array, &length)) return false;
  int64_t *ids = call_memory(call, (length + 1) * sizeof *ids);
  for (uint32_t i = 0; i < length; i++) {
    napi_value value;
    TRY(napi_get_element(env, array, i, &value));
    if (!read_integer(env, value, &ids[i])) return false;
  }
  slot->data = ids;
  slot->len = length;
  return true;
}

/* A Uint8Array; or a Float64Array of one, which is a real that may be whole. */
static bool read_bytes(napi_env env, call_t *call, napi_value given, honker_value_t *value) {
  bool is = false;
  void *data = NULL;
  size_t len = 0;
  if (napi_is_typedarray(env, given, &is) == napi_ok && is) {
    napi_typedarray_type type;
    TRY(napi_get_typedarray_info(env, given, &type, &len, &data, NULL, NULL));
    if (type == napi_float64_array && len == 1) {
      value->value_type = HONKER_TYPE_REAL;
      value->real = *(const double *)data;
      return true;
    }
    if (type != napi_uint8_array) return wrong(env, "bytes are given as a Uint8Array or a Buffer");
  } else {
    return wrong(env,
                 "a value of SQL is null, a number, a bigint, a boolean, a string or a Uint8Array");
  }
  char *copy = call_memory(call, len + 1);
  if (len > 0) memcpy(copy, data, len);
  value->value_type = HONKER_TYPE_BLOB;
  value->bytes = (honker_bytes_t){(const uint8_t *)copy, len};
  return true;
}

static bool read_value(napi_env env, call_t *call, napi_value value, honker_value_t *read) {
  napi_valuetype type;
  const void *data = NULL;
  if (is_nothing(env, value, &type)) return true;
  switch (type) {
    case napi_boolean: {
      bool is;
      TRY(napi_get_value_bool(env, value, &is));
      read->value_type = HONKER_TYPE_INTEGER;
      read->integer = is;
      return true;
    }
    case napi_number: {
      double real;
      TRY(napi_get_value_double(env, value, &real));
      if (real == trunc(real) && fabs(real) <= 9007199254740991.0) {
        read->value_type = HONKER_TYPE_INTEGER;
        read->integer = (int64_t)real;
      } else {
        read->value_type = HONKER_TYPE_REAL;
        read->real = real;
      }
      return true;
    }
    case napi_bigint:
      read->value_type = HONKER_TYPE_INTEGER;
      return read_integer(env, value, &read->integer);
    case napi_string:
      read->value_type = HONKER_TYPE_TEXT;
      if (!read_text(env, call, value, &data, &read->bytes.len)) return false;
      read->bytes.data = data;
      return true;
    default:
      return read_bytes(env, call, value, read);
  }
}

static bool read_values(napi_env env, call_t *call, napi_value array, slot_t *slot) {
  napi_valuetype type;
  uint32_t length;
  if (is_nothing(env, array, &type)) return true;
  if (!array_length(env, array, &length)) return false;
  honker_value_t *values = call_memory(call, (length + 1) * sizeof *values);
  memset(values, 0, (length + 1) * sizeof *values);
  for (uint32_t i = 0; i < length; i++) {
    napi_value value;
    TRY(napi_get_element(env, array, i, &value));
    if (!read_value(env, call, value, &values[i])) return false;
  }
  slot->data = values;
  slot->len = length;
  return true;
}

/* Five elements for each: kind, id, serial, delay, error. */
static bool read_settlements(napi_env env, call_t *call, napi_value array, slot_t *slot) {
  uint32_t length;
  if (!array_length(env, array, &length)) return false;
  const uint32_t count = length / 5;
  honker_settlement_t *settlements = call_memory(call, (count + 1) * sizeof *settlements);
  memset(settlements, 0, (count + 1) * sizeof *settlements);
  for (uint32_t i = 0; i < count; i++) {
    fields_t fields = {env, call, array, i * 5, true};
    settlements[i].status = HONKER_BUSY; /* none has been committed */
    field_uint32(&fields, &settlements[i].kind);
    field_integer(&fields, &settlements[i].id);
    field_integer(&fields, &settlements[i].serial);
    field_integer(&fields, &settlements[i].delay_s);
    if (settlements[i].kind == HONKER_SETTLE_RETRY && settlements[i].delay_s < 0) {
      settlements[i].delay_s = HONKER_NO_TIME;
    }
    field_text(&fields, &settlements[i].error);
    if (!fields.ok) return false;
  }
  slot->data = settlements;
  slot->len = count;
  return true;
}

/* Three elements for each: name, weight, the most in hand. */
static bool read_queues(napi_env env, call_t *call, napi_value array, slot_t *slot) {
  uint32_t length;
  if (!array_length(env, array, &length)) return false;
  const uint32_t count = length / 3;
  honker_worker_queue_t *queues = call_memory(call, (count + 1) * sizeof *queues);
  for (uint32_t i = 0; i < count; i++) {
    fields_t fields = {env, call, array, i * 3, true};
    queues[i] = (honker_worker_queue_t)HONKER_WORKER_QUEUE_INIT;
    field_text(&fields, &queues[i].name);
    field_integer(&fields, &queues[i].weight);
    field_integer(&fields, &queues[i].in_hand_max);
    if (!fields.ok) return false;
  }
  slot->data = queues;
  slot->len = count;
  return true;
}

static bool read_worker_options(napi_env env, call_t *call, napi_value array, slot_t *slot) {
  honker_worker_opts_t *read = call_memory(call, sizeof *read);
  *read = (honker_worker_opts_t)HONKER_WORKER_OPTS_INIT;
  fields_t fields = {env, call, array, 0, true};
  field_integer(&fields, &read->visibility_timeout_s);
  field_integer(&fields, &read->fallback_ms);
  field_integer(&fields, &read->max_run_s);
  field_integer(&fields, &read->retry_base_s);
  field_integer(&fields, &read->retry_max_s);
  field_double(&fields, &read->retry_factor);
  field_double(&fields, &read->retry_jitter);
  field_uint32(&fields, &read->heartbeat);
  field_uint32(&fields, &read->rescue);
  slot->data = read;
  return fields.ok;
}

static bool read_subscription_options(napi_env env, call_t *call, napi_value array, slot_t *slot) {
  honker_subscription_opts_t *read = call_memory(call, sizeof *read);
  *read = (honker_subscription_opts_t)HONKER_SUBSCRIPTION_OPTS_INIT;
  fields_t fields = {env, call, array, 0, true};
  field_text(&fields, &read->consumer);
  field_integer(&fields, &read->from_offset);
  field_integer(&fields, &read->save_every_n);
  field_integer(&fields, &read->save_every_ms);
  slot->data = read;
  return fields.ok;
}

static bool read_outbox_options(napi_env env, call_t *call, napi_value array, slot_t *slot) {
  honker_outbox_opts_t *read = call_memory(call, sizeof *read);
  *read = (honker_outbox_opts_t)HONKER_OUTBOX_OPTS_INIT;
  fields_t fields = {env, call, array, 0, true};
  field_integer(&fields, &read->visibility_timeout_s);
  field_integer(&fields, &read->base_backoff_s);
  field_integer(&fields, &read->fallback_ms);
  slot->data = read;
  return fields.ok;
}

/* priority, expires, max attempts, overlap, options of the jobs */
static bool read_schedule_options(napi_env env, call_t *call, napi_value array, slot_t *slot) {
  honker_schedule_opts_t *read = call_memory(call, sizeof *read);
  *read = (honker_schedule_opts_t)HONKER_SCHEDULE_OPTS_INIT;
  fields_t fields = {env, call, array, 0, true};
  field_integer(&fields, &read->priority);
  field_integer(&fields, &read->expires_s);
  field_integer(&fields, &read->max_attempts);
  field_uint32(&fields, &read->overlap);
  napi_value job;
  if (!fields.ok) return false;
  TRY(napi_get_element(env, array, 4, &job));
  slot->data = read;
  return read_enqueue_options(env, call, job, &read->job);
}

/* expression, payload, priority, expires, max attempts: undefined leaves what is there, null is
 * none */
static bool read_schedule_update(napi_env env, call_t *call, napi_value array, slot_t *slot) {
  honker_schedule_update_t *read = call_memory(call, sizeof *read);
  *read = (honker_schedule_update_t)HONKER_SCHEDULE_UPDATE_INIT;
  fields_t fields = {env, call, array, 0, true};
  const void *data = NULL;
  napi_value value;
  uint64_t *all = &read->fields;
  field_flag(&fields, all, HONKER_UPDATE_EXPRESSION, &value);
  if (*all & HONKER_UPDATE_EXPRESSION) {
    fields.ok = fields.ok && read_text(env, call, value, &data, &read->expression.len);
    read->expression.data = data;
  }
  field_flag(&fields, all, HONKER_UPDATE_PAYLOAD, &value);
  if (*all & HONKER_UPDATE_PAYLOAD) {
    fields.ok = fields.ok && read_text(env, call, value, &data, &read->payload.len);
    read->payload.data = data;
  }
  field_flag(&fields, all, HONKER_UPDATE_PRIORITY, &value);
  if (*all & HONKER_UPDATE_PRIORITY)
    fields.ok = fields.ok && read_integer(env, value, &read->priority);
  field_flag(&fields, all, HONKER_UPDATE_EXPIRES, &value);
  if (*all & HONKER_UPDATE_EXPIRES)
    fields.ok = fields.ok && read_optional_integer(env, value, &read->expires_s);
  field_flag(&fields, all, HONKER_UPDATE_MAX_ATTEMPTS, &value);
  if (*all & HONKER_UPDATE_MAX_ATTEMPTS) {
    fields.ok = fields.ok && read_optional_integer(env, value, &read->max_attempts);
  }
  slot->data = read;
  return fields.ok;
}

bool call_read(napi_env env, call_t *call, napi_value *arguments, size_t count) {
  const char *signature = call->operation->signature;
  napi_value undefined;
  napi_valuetype type;
  TRY(napi_get_undefined(env, &undefined));
  for (size_t i = 0; signature[i] != 0; i++) {
    napi_value value = i < count ? arguments[i] : undefined;
    slot_t *slot = &call->slots[i];
    bool ok = true;
    switch (signature[i]) {
      case 't':
        ok = read_text(env, call, value, &slot->data, &slot->len);
        break;
      case 'T':
        ok = is_nothing(env, value, &type) || read_text(env, call, value, &slot->data, &slot->len);
        break;
      case 'i':
        ok = read_integer(env, value, &slot->number);
        break;
      case 'n':
        slot->number = HONKER_NO_TIME;
        ok = read_optional_integer(env, value, &slot->number);
        break;
      case 'h':
        ok = read_handle(env, value, &slot->data);
        break;
      case 'f':
        ok = take_handle(env, call, value, &slot->data);
        break;
      case 'w': {
        int64_t token = 0;
        ok = read_integer(env, value, &token);
        call->token = (uint64_t)token;
        call->waiter = call->database->waiter;
        break;
      }
      case 'e': {
        const honker_enqueue_opts_t *options;
        ok = read_enqueue_options(env, call, value, &options);
        slot->data = options;
        break;
      }
      case 'J':
        ok = read_specs(env, call, value, slot);
        break;
      case 'I':
        ok = read_ids(env, call, value, slot);
        break;
      case 'V':
        ok = read_values(env, call, value, slot);
        break;
      case 'S':
        ok = read_settlements(env, call, value, slot);
        break;
      case 'Q':
        ok = read_queues(env, call, value, slot);
        break;
      case 'o':
        ok = read_worker_options(env, call, value, slot);
        break;
      case 'p':
        ok = read_subscription_options(env, call, value, slot);
        break;
      case 'x':
        ok = read_outbox_options(env, call, value, slot);
        break;
      case 's':
        ok = read_schedule_options(env, call, value, slot);
        break;
      case 'u':
        ok = read_schedule_update(env, call, value, slot);
        break;
      default:
        ok = false;
        break;
    }
    if (!ok) return wrong(env, "an argument is of the wrong type");
  }
  return true;
}

/* --- Results. --- */

static bool make_integer(napi_env env, int64_t number, napi_value *result) {
  if (number > 9007199254740991LL || number < -9007199254740991LL) {
    return napi_create_bigint_int64(env, number, result) == napi_ok;
  }
  return napi_create_int64(env, number, result) == napi_ok;
}

static bool make_text(napi_env env, const void *data, size_t len, napi_value *result) {
  return napi_create_string_utf8(env, len == 0 ? "" : data, len, result) == napi_ok;
}

static bool make_bytes(napi_env env, honker_bytes_t bytes, napi_value *result) {
  return make_text(env, bytes.data, bytes.len, result);
}

/* An array that grows at its end. */
typedef struct {
  napi_env env;
  napi_value array;
  uint32_t at;
  bool ok;
} list_t;

static list_t list(napi_env env) {
  list_t made = {env, NULL, 0, true};
  made.ok = napi_create_array(env, &made.array) == napi_ok;
  return made;
}

static void add(list_t *list, bool made, napi_value value) {
  list->ok =
      list->ok && made && napi_set_element(list->env, list->array, list->at++, value) == napi_ok;
}

static void add_integer(list_t *list, int64_t number) {
  napi_value value = NULL;
  const bool made = make_integer(list->env, number, &value);
  add(list, made, value);
}

static void add_bytes(list_t *list, honker_bytes_t bytes) {
  napi_value value = NULL;
  const bool made = make_bytes(list->env, bytes, &value);
  add(list, made, value);
}

static void add_nothing(list_t *list) {
  napi_value value = NULL;
  const bool made = napi_get_null(list->env, &value) == napi_ok;
  add(list, made, value);
}

static bool bytes_equal(honker_bytes_t one, honker_bytes_t other) {
  return one.len == other.len && (one.len == 0 || memcmp(one.data, other.data, one.len) == 0);
}

#define VIEWS 16

#define NUMBERS                                                                    \
  5 /* of each job: id, attempts, when the claim ends, maximum of attempts, serial \
     */

static bool is_exact(int64_t number) {
  return number <= 9007199254740991LL && number >= -9007199254740991LL;
}

/* How many jobs, their numbers (a Float64Array; an array if a double does not hold them), payloads,
 * metadata, and, of each, the queue and the worker. All jobs of one claim have the same queue and
 * worker, mostly: then they stand there once. */
static bool make_jobs(napi_env env, call_t *call, napi_value *result) {
  size_t len = 0;
  if (LIB->jobs_len(call->pointer, &len, NULL) != HONKER_OK) return false;
  honker_job_view_t *views = call_memory(call, (len + 1) * sizeof *views);
  views[0] = (honker_job_view_t)HONKER_JOB_VIEW_INIT;
  if (LIB->jobs_views(call->pointer, 0, views, len, &len, NULL) != HONKER_OK) return false;
  list_t payloads = list(env), metadata = list(env), queues = list(env), workers = list(env),
         all = list(env);
  napi_value buffer, numbers;
  void *data = NULL;
  TRY(napi_create_arraybuffer(env, len * NUMBERS * sizeof(double), &data, &buffer));
  TRY(napi_create_typedarray(env, napi_float64_array, len * NUMBERS, buffer, 0, &numbers));
  double *number = data;
  bool exact = true, has_metadata = false, same = true;
  for (size_t i = 0; i < len; i++) {
    const honker_job_view_t *view = &views[i];
    const int64_t all_numbers[NUMBERS] = {view->id, view->attempts, view->claim_expires_at,
                                          view->max_attempts, view->serial};
    for (size_t n = 0; n < NUMBERS; n++) {
      exact = exact && is_exact(all_numbers[n]);
      *number++ = (double)all_numbers[n];
    }
    has_metadata = has_metadata || view->metadata.len > 0;
    same = same && bytes_equal(view->queue, views[0].queue) &&
           bytes_equal(view->worker_id, views[0].worker_id);
  }
  for (size_t i = 0; i < len; i++) {
    /* Values of one job are let go of together. */
    napi_handle_scope scope;
    TRY(napi_open_handle_scope(env, &scope));
    const honker_job_view_t *view = &views[i];
    add_bytes(&payloads, view->payload);
    if (has_metadata)
      view->metadata.len == 0 ? add_nothing(&metadata) : add_bytes(&metadata, view->metadata);
    if (i == 0 || !same) {
      add_bytes(&queues, view->queue);
      add_bytes(&workers, view->worker_id);
    }
    TRY(napi_close_handle_scope(env, scope));
  }
  if (!exact) {
    list_t wide = list(env);
    for (size_t i = 0; i < len; i++) {
      add_integer(&wide, views[i].id);
      add_integer(&wide, views[i].attempts);
      add_integer(&wide, views[i].claim_expires_at);
      add_integer(&wide, views[i].max_attempts);
      add_integer(&wide, views[i].serial);
    }
    if (!wide.ok) return false;
    numbers = wide.array;
  }
  add_integer(&all, (int64_t)len);
  add(&all, true, numbers);
  add(&all, payloads.ok, payloads.array);
  add(&all, metadata.ok, metadata.array);
  add(&all, queues.ok, queues.array);
  add(&all, workers.ok, workers.array);
  *result = all.array;
  return all.ok;
}

/* Three elements for each: id, serial, reason. */
static bool make_lost(napi_env env, call_t *call, napi_value *result) {
  honker_lost_job_view_t views[VIEWS];
  list_t lost = list(env);
  for (size_t first = 0, read = VIEWS; read == VIEWS; first += read) {
    views[0] = (honker_lost_job_view_t)HONKER_LOST_JOB_VIEW_INIT;
    if (LIB->jobs_lost(call->pointer, first, views, VIEWS, &read, NULL) != HONKER_OK) return false;
    for (size_t i = 0; i < read; i++) {
      add_integer(&lost, views[i].id);
      add_integer(&lost, views[i].serial);
      add_integer(&lost, views[i].reason);
    }
  }
  *result = lost.array;
  return lost.ok;
}

/* jobs, lost, statuses of the settlements, the error of those that were refused or null */
static bool make_settled(napi_env env, call_t *call, napi_value *result) {
  list_t all = list(env);
  napi_value value = NULL;
  bool made;
  if (call->pointer != NULL) {
    made = make_jobs(env, call, &value);
    add(&all, made, value);
    made = make_lost(env, call, &value);
    add(&all, made, value);
  } else {
    add_nothing(&all);
    made = napi_create_array(env, &value) == napi_ok;
    add(&all, made, value);
  }
  list_t statuses = list(env);
  const honker_settlement_t *settlements = call->slots[1].data;
  for (size_t i = 0; i < call->slots[1].len; i++) add_integer(&statuses, settlements[i].status);
  add(&all, statuses.ok, statuses.array);
  if (call->error != NULL) {
    made = call_error(env, call, &value);
    add(&all, made, value);
  } else {
    add_nothing(&all);
  }
  add_integer(&all, call->status);
  *result = all.array;
  return all.ok;
}

static void add_event(list_t *events, const honker_event_view_t *event) {
  add_integer(events, event->offset);
  event->key.data == NULL ? add_nothing(events) : add_bytes(events, event->key);
  add_bytes(events, event->payload);
  add_integer(events, event->created_at);
}

static bool make_events(napi_env env, call_t *call, napi_value *result) {
  size_t len = 0;
  list_t events = list(env);
  if (LIB->events_len(call->pointer, &len, NULL) != HONKER_OK) return false;
  for (size_t i = 0; i < len; i++) {
    honker_event_view_t event = HONKER_EVENT_VIEW_INIT;
    if (LIB->events_get(call->pointer, i, &event, NULL) != HONKER_OK) return false;
    napi_handle_scope scope;
    TRY(napi_open_handle_scope(env, &scope));
    add_event(&events, &event);
    TRY(napi_close_handle_scope(env, scope));
  }
  *result = events.array;
  return events.ok;
}

static bool make_fires(napi_env env, call_t *call, napi_value *result) {
  size_t len = 0;
  list_t fires = list(env);
  if (LIB->fires_len(call->pointer, &len, NULL) != HONKER_OK) return false;
  for (size_t i = 0; i < len; i++) {
    honker_fire_view_t fire = HONKER_FIRE_VIEW_INIT;
    if (LIB->fires_get(call->pointer, i, &fire, NULL) != HONKER_OK) return false;
    add_bytes(&fires, fire.name);
    add_bytes(&fires, fire.queue);
    add_integer(&fires, fire.fire_at);
    add_integer(&fires, fire.job_id);
    add_integer(&fires, fire.status);
  }
  *result = fires.array;
  return fires.ok;
}

static bool make_value(napi_env env, const honker_value_t *value, napi_value *result) {
  switch (value->value_type) {
    case HONKER_TYPE_INTEGER:
      return make_integer(env, value->integer, result);
    case HONKER_TYPE_REAL:
      return napi_create_double(env, value->real, result) == napi_ok;
    case HONKER_TYPE_TEXT:
      return make_bytes(env, value->bytes, result);
    case HONKER_TYPE_BLOB:
      return napi_create_buffer_copy(env, value->bytes.len, value->bytes.data, NULL, result) ==
             napi_ok;
    default:
      return napi_get_null(env, result) == napi_ok;
  }
}

/* the names, and the values of all rows one after the other */
static bool make_rows(napi_env env, call_t *call, napi_value *result) {
  size_t rows = 0, columns = 0;
  list_t names = list(env), values = list(env), all = list(env);
  if (LIB->rows_size(call->pointer, &rows, &columns, NULL) != HONKER_OK) return false;
  for (size_t column = 0; column < columns; column++) {
    honker_bytes_t name = {NULL, 0};
    if (LIB->rows_column(call->pointer, column, &name.data, &name.len, NULL) != HONKER_OK)
      return false;
    add_bytes(&names, name);
  }
  for (size_t row = 0; row < rows; row++) {
    napi_handle_scope scope;
    TRY(napi_open_handle_scope(env, &scope));
    for (size_t column = 0; column < columns; column++) {
      honker_value_t value;
      napi_value made = NULL;
      if (LIB->rows_get(call->pointer, row, column, &value, NULL) != HONKER_OK) return false;
      const bool ok = make_value(env, &value, &made);
      add(&values, ok, made);
    }
    TRY(napi_close_handle_scope(env, scope));
  }
  add(&all, names.ok, names.array);
  add(&all, values.ok, values.array);
  add_integer(&all, (int64_t)rows);
  *result = all.array;
  return all.ok;
}

static bool make_results(napi_env env, call_t *call, napi_value *result) {
  list_t results = list(env);
  const honker_enqueue_result_t *found = call->pointer;
  for (size_t i = 0; i < call->slots[0].len; i++) {
    add_integer(&results, found[i].id);
    add_integer(&results, found[i].status);
  }
  *result = results.array;
  return results.ok;
}

static bool make_output(napi_env env, call_t *call, napi_value *result) {
  switch (call->operation->out) {
    case OUT_INTEGER:
      return call->status == HONKER_OK ? make_integer(env, call->integer, result)
                                       : napi_get_null(env, result) == napi_ok;
    case OUT_ENQUEUED: {
      if (call->status == HONKER_OK) return make_integer(env, call->integer, result);
      list_t both = list(env);
      add_integer(&both, call->integer);
      add_integer(&both, call->status);
      *result = both.array;
      return both.ok;
    }
    case OUT_TEXT: {
      const uint8_t *data = NULL;
      size_t len = 0;
      if (call->pointer == NULL) break;
      return LIB->text_get(call->pointer, &data, &len, NULL) == HONKER_OK &&
             make_text(env, data, len, result);
    }
    case OUT_JOBS:
      if (call->pointer == NULL) break;
      return make_jobs(env, call, result);
    case OUT_SETTLED:
      return make_settled(env, call, result);
    case OUT_EVENTS:
      if (call->pointer == NULL) break;
      return make_events(env, call, result);
    case OUT_FIRES:
      if (call->pointer == NULL) break;
      return make_fires(env, call, result);
    case OUT_ROWS:
      return make_rows(env, call, result);
    case OUT_RESULTS:
      return make_results(env, call, result);
    case OUT_NOTIFICATION: {
      if (call->status != HONKER_OK) break;
      list_t one = list(env);
      add_integer(&one, call->notification.id);
      add_bytes(&one, call->notification.channel);
      add_bytes(&one, call->notification.payload);
      add_integer(&one, call->notification.created_at);
      *result = one.array;
      return one.ok;
    }
    case OUT_EVENT: {
      if (call->status != HONKER_OK) break;
      list_t one = list(env);
      add_event(&one, &call->event);
      *result = one.array;
      return one.ok;
    }
    case OUT_HANDLE: {
      void *pointer = call->pointer;
      call->pointer = NULL;
      return handle_make(env, call->database, call->operation, pointer, result);
    }
    default:
      break;
  }
  return make_integer(env, call->status, result);
}

bool make_failure(napi_env env, instance_t *in, honker_status_t status, const char *message,
                  napi_value *result) {
  napi_value failure, undefined, arguments[4];
  TRY(napi_get_reference_value(env, in->failure, &failure));
  TRY(napi_get_undefined(env, &undefined));
  TRY(napi_create_int32(env, status, &arguments[0]));
  TRY(napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &arguments[1]));
  TRY(napi_create_int32(env, 0, &arguments[2]));
  TRY(napi_create_int32(env, 0, &arguments[3]));
  return napi_call_function(env, undefined, failure, 4, arguments, result) == napi_ok;
}

bool call_error(napi_env env, call_t *call, napi_value *result) {
  napi_value failure, undefined, arguments[4];
  size_t len = 0;
  const char *message = LIB->error_message(call->error, &len);
  /* A call may leave an error that is not its own: of a settlement among others. */
  const honker_status_t status =
      call->error != NULL ? LIB->error_status(call->error) : call->status;
  TRY(napi_get_reference_value(env, call->in->failure, &failure));
  TRY(napi_get_undefined(env, &undefined));
  TRY(napi_create_int32(env, status, &arguments[0]));
  if (call->error == NULL) message = LIB->status_name(status), len = strlen(message);
  TRY(napi_create_string_utf8(env, message, len, &arguments[1]));
  TRY(napi_create_int32(env, LIB->error_sqlite_code(call->error), &arguments[2]));
  TRY(napi_create_int32(env, LIB->error_sqlite_extended_code(call->error), &arguments[3]));
  return napi_call_function(env, undefined, failure, 4, arguments, result) == napi_ok;
}

static bool tell_warning(napi_env env, call_t *call) {
  napi_value warn, undefined, error, ignored;
  TRY(napi_get_reference_value(env, call->in->warn, &warn));
  TRY(napi_get_undefined(env, &undefined));
  if (!call_error(env, call, &error)) return false;
  return napi_call_function(env, undefined, warn, 1, &error, &ignored) == napi_ok;
}

bool call_result(napi_env env, call_t *call, napi_value *result) {
  const bool made = make_output(env, call, result);
  free_pointer(call);
  if (made && call->error != NULL && call->operation->out != OUT_SETTLED)
    return tell_warning(env, call);
  return made;
}
