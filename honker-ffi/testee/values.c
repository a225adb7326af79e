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

static json_t *as_hex(honker_bytes_t bytes, const char *key) {
  char *hex = calloc(bytes.len + 1, 2);
  for (size_t i = 0; i < bytes.len; i++) sprintf(hex + 2 * i, "%02x", bytes.data[i]);
  json_t *value = json_pack("{s:s}", key, hex);
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

json_t *as_text(honker_bytes_t bytes) {
  if (bytes.data == NULL) return json_null();
  json_t *value = json_stringn((const char *)bytes.data, bytes.len);
  return value != NULL ? value : as_hex(bytes, "$bytes");
}

json_t *as_value(honker_bytes_t bytes) {
  const int flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
  json_t *value = json_loadb((const char *)bytes.data, bytes.len, flags, NULL);
  return value != NULL ? value : json_pack("{s:o}", "$text", as_text(bytes));
}

json_t *as_table(honker_bytes_t json) {
  json_t *result = as_value(json), *item;
  size_t i;
  if (json_object_get(result, "payload") != NULL)
    json_object_set_new(result, "payload", as_value(text(result, "payload")));
  json_array_foreach(result, i, item) if (json_object_get(item, "payload") != NULL)
      json_object_set_new(item, "payload", as_value(text(item, "payload")));
  return result;
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

void make_plain(json_t *request) {
  const char *key;
  json_t *value, *item;
  size_t i;
  void *next;
  json_object_foreach_safe(request, next, key, value) {
    bool many = strcmp(key, "payloads") == 0;
    if (many || strcmp(key, "params") == 0)
      json_array_foreach(value, i, item) json_array_set_new(value, i, plain(item, many));
    bool json_is_due = strcmp(key, "payload") == 0 || strcmp(key, "value") == 0;
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

json_t *as_sql(const honker_value_t *value) {
  if (value->value_type == HONKER_TYPE_INTEGER) return json_integer(value->integer);
  if (value->value_type == HONKER_TYPE_REAL) return json_real(value->real);
  if (value->value_type == HONKER_TYPE_TEXT) return as_text(value->bytes);
  return value->value_type == HONKER_TYPE_BLOB ? as_hex(value->bytes, "$hex") : json_null();
}
