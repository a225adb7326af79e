/*
 * Values: what requests say in JSON as the library takes it, and what the library returns as JSON.
 * No state.
 */
#include <stdio.h>

#include "testee.h"

honker_bytes_t text(const json_t *object, const char *key) {
  const json_t *value = json_object_get(object, key);
  return (honker_bytes_t){(const uint8_t *)json_string_value(value), json_string_length(value)};
}

int64_t number(const json_t *object, const char *key, int64_t otherwise) {
  const json_t *value = json_object_get(object, key);
  return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

static json_t *as_hex(honker_bytes_t bytes) {
  char *hex = calloc(bytes.len + 1, 2);
  for (size_t i = 0; i < bytes.len; i++) sprintf(hex + 2 * i, "%02x", bytes.data[i]);
  json_t *value = json_pack("{s:s}", "$hex", hex);
  free(hex);
  return value;
}

/* A text that holds these bytes, whatever they are. */
static json_t *from_hex(const char *hex) {
  size_t len = strlen(hex) / 2;
  char *bytes = calloc(len + 1, 1);
  for (size_t i = 0; i < len; i++) sscanf(hex + 2 * i, "%2hhx", (unsigned char *)bytes + i);
  json_t *value = json_stringn_nocheck(bytes, len);
  free(bytes);
  return value;
}

static json_t *as_text(honker_bytes_t bytes) {
  return bytes.data != NULL ? json_stringn((const char *)bytes.data, bytes.len) : json_null();
}

json_t *as_value(honker_bytes_t bytes) {
  const int flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
  json_t *value = json_loadb((const char *)bytes.data, bytes.len, flags, NULL);
  return value != NULL ? value : json_pack("{s:o}", "$text", as_text(bytes));
}

/* Jobs, wherever they are in it, have payloads that are texts. */
static void read_payloads(json_t *json) {
  json_t *item, *payload = json_object_get(json, "payload");
  const char *key;
  size_t i;
  if (json_is_string(payload)) {
    const honker_bytes_t text = {(const uint8_t *)json_string_value(payload),
                                 json_string_length(payload)};
    json_object_set_new(json, "payload", as_value(text));
    return;
  }
  json_array_foreach(json, i, item) read_payloads(item);
  json_object_foreach(json, key, item) read_payloads(item);
}
static json_t *as_table(honker_bytes_t json) {
  json_t *table = as_value(json);
  read_payloads(table);
  return table;
}

/* The text that stands for a value of a request. */
static json_t *plain(json_t *value, bool json_is_due) {
  const char *as_it_is = json_string_value(json_object_get(value, "$bytes"));
  if (as_it_is != NULL) return from_hex(as_it_is);
  if (!json_is_due) return json_incref(value);
  if (json_object_get(value, "$text") != NULL) return json_incref(json_object_get(value, "$text"));
  char *dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
  json_t *json = json_string_nocheck(dump);
  free(dump);
  return json;
}

/* Makes texts of what the library takes as text, and arrays of them. Steps are requests of their
 * own. */
void make_plain(json_t *request) {
  const char *key;
  json_t *value, *item;
  size_t i;
  void *next;
  json_object_foreach_safe(request, next, key, value) {
    bool json_is_due = strcmp(key, "payload") == 0 || strcmp(key, "value") == 0 ||
                       strcmp(key, "metadata") == 0 || strcmp(key, "settings") == 0 ||
                       strcmp(key, "options") == 0 || strcmp(key, "filter") == 0;
    bool are_due = strcmp(key, "payloads") == 0;
    if (!json_is_due && strcmp(key, "steps") != 0)
      json_array_foreach(value, i, item) json_array_set_new(value, i, plain(item, are_due));
    json_object_set_new(request, key, plain(value, json_is_due));
  }
}

/* The texts in what this returns belong to `list`. */
honker_value_t *parameters(const json_t *list, size_t *len) {
  honker_value_t *values = calloc(json_array_size(list) + 1, sizeof *values);
  size_t i;
  json_t *item;
  *len = json_array_size(list);
  json_array_foreach(list, i, item) {
    const json_t *hex = json_object_get(item, "$hex"), *held = item;
    if (hex != NULL) {
      json_object_set_new(item, "bytes", from_hex(json_string_value(hex)));
      held = json_object_get(item, "bytes");
    }
    values[i].value_type = hex != NULL             ? HONKER_TYPE_BLOB
                           : json_is_integer(held) ? HONKER_TYPE_INTEGER
                           : json_is_real(held)    ? HONKER_TYPE_REAL
                           : json_is_string(held)  ? HONKER_TYPE_TEXT
                                                   : HONKER_TYPE_NULL;
    values[i].integer = json_integer_value(held);
    values[i].real = json_real_value(held);
    values[i].bytes.data = (const uint8_t *)json_string_value(held);
    values[i].bytes.len = json_string_length(held);
  }
  return values;
}

static json_t *as_sql(const honker_value_t *value) {
  if (value->value_type == HONKER_TYPE_INTEGER) return json_integer(value->integer);
  if (value->value_type == HONKER_TYPE_REAL) return json_real(value->real);
  if (value->value_type == HONKER_TYPE_TEXT) return as_text(value->bytes);
  return value->value_type == HONKER_TYPE_BLOB ? as_hex(value->bytes) : json_null();
}

/* --- What the library returned, as JSON. --- */

static json_t *from_text(call_t *c, json_t *(*as)(honker_bytes_t)) {
  honker_bytes_t bytes = {NULL, 0};
  if (c->text == NULL) return NULL;
  TRY(honker_text_get(c->text, &bytes.data, &bytes.len, E));
  json_t *value = as(bytes);
  honker_text_free(c->text);
  return value;
}
json_t *value(call_t *c) { return from_text(c, as_value); }
json_t *table(call_t *c) { return from_text(c, as_table); }

static json_t *as_job(const honker_job_view_t *v) {
  json_t *job =
      json_pack("{s:I,s:o,s:o,s:o,s:I}", "id", v->id, "queue", as_text(v->queue), "payload",
                as_value(v->payload), "worker", as_text(v->worker_id), "attempts", v->attempts);
  if (v->serial != 0) json_object_set_new(job, "serial", json_integer(v->serial));
  if (v->metadata.len != 0) json_object_set_new(job, "metadata", as_value(v->metadata));
  return job;
}
static json_t *as_lost(const honker_lost_job_view_t *v) {
  static const char *const reasons[] = {[HONKER_LOST_GONE] = "GONE",
                                        [HONKER_LOST_LAPSED] = "LAPSED",
                                        [HONKER_LOST_TAKEN] = "TAKEN",
                                        [HONKER_LOST_TIMEOUT] = "TIMEOUT"};
  return json_pack("{s:I,s:I,s:s}", "id", v->id, "serial", v->serial, "reason", reasons[v->reason]);
}
json_t *as_event(const honker_event_view_t *v) {
  return json_pack("{s:I,s:o,s:o,s:o,s:I}", "offset", v->offset, "topic", as_text(v->topic), "key",
                   as_text(v->key), "payload", as_value(v->payload), "created_at", v->created_at);
}
json_t *as_notification(const honker_notification_view_t *v) {
  return json_pack("{s:I,s:o,s:o}", "id", v->id, "channel", as_text(v->channel), "payload",
                   as_value(v->payload));
}
static json_t *as_fire(const honker_fire_view_t *v) {
  json_t *fire = json_pack("{s:o,s:o,s:I,s:I}", "name", as_text(v->name), "queue",
                           as_text(v->queue), "fire_at", v->fire_at, "job_id", v->job_id);
  if (v->status == HONKER_EXISTS) json_object_set_new(fire, "status", json_string("exists"));
  if (v->status == HONKER_REPLACED) json_object_set_new(fire, "status", json_string("replaced"));
  if (v->status == HONKER_EMPTY) {
    json_object_set_new(fire, "status", json_string("skipped"));
    json_object_set_new(fire, "job_id", json_null());
  }
  return fire;
}

/* jobs(), events() and fires(): the arrays of what the three above make of one. */
#define LIST(one, INIT)                                                  \
  json_t *one##s(call_t *c) {                                            \
    json_t *array = json_array();                                        \
    size_t len = 0;                                                      \
    if (c->one##s != NULL) TRY(honker_##one##s_len(c->one##s, &len, E)); \
    for (size_t i = 0; i < len && c->status >= 0; i++) {                 \
      honker_##one##_view_t view = INIT;                                 \
      TRY(honker_##one##s_get(c->one##s, i, &view, E));                  \
      json_array_append_new(array, as_##one(&view));                     \
    }                                                                    \
    honker_##one##s_free(c->one##s);                                     \
    return array;                                                        \
  }
LIST(job, HONKER_JOB_VIEW_INIT)
LIST(event, HONKER_EVENT_VIEW_INIT)
LIST(fire, HONKER_FIRE_VIEW_INIT)

json_t *batch(call_t *c) {
  json_t *lost = json_array();
  honker_lost_job_view_t view = HONKER_LOST_JOB_VIEW_INIT;
  size_t read = c->jobs != NULL;
  for (size_t i = 0; read == 1 && c->status >= 0; i++) {
    TRY(honker_jobs_lost(c->jobs, i, &view, 1, &read, E));
    if (read == 1) json_array_append_new(lost, as_lost(&view));
  }
  return json_pack("{s:o,s:o}", "jobs", jobs(c), "lost", lost);
}

json_t *rows(call_t *c) {
  json_t *array = json_array();
  size_t len = 0, columns = 0;
  TRY(honker_rows_size(c->rows, &len, &columns, E));
  for (size_t i = 0; i < len; i++) {
    json_t *row = json_array();
    for (size_t j = 0; j < columns && c->status >= 0; j++) {
      honker_value_t cell;
      TRY(honker_rows_get(c->rows, i, j, &cell, E));
      json_array_append_new(row, as_sql(&cell));
    }
    json_array_append_new(array, row);
  }
  honker_rows_free(c->rows);
  return array;
}
