/*
 * The testee of the C ABI: does what conformance/PROTOCOL.md says with libhonker, and answers what
 * that answered.
 *
 * This thread reads requests and hands them to lanes, each of which is a thread with a queue;
 * `reset` and `bye` it does itself. One lock guards the lanes, the list of handles and standard
 * output, and one condition tells of every change.
 */
#include "testee.h"

#include <stdio.h>

typedef struct lane {
  struct lane *next;
  char *name;
  pthread_t thread;
  json_t *requests;
} lane_t;

handle_t *handles;
static lane_t *lanes;
static bool ending;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;

void lock(void) { pthread_mutex_lock(&mutex); }
void unlock(void) { pthread_mutex_unlock(&mutex); }
void changed(void) { pthread_cond_broadcast(&condition); }
void wait_for_change(void) { pthread_cond_wait(&condition, &mutex); }

static void say(json_t *answer) {
  lock();
  json_dumpf(answer, stdout, JSON_COMPACT);
  putchar('\n');
  fflush(stdout);
  unlock();
  json_decref(answer);
}

static void *run(void *argument) {
  lane_t *lane = argument;
  for (;;) {
    lock();
    while (json_array_size(lane->requests) == 0 && !ending) wait_for_change();
    json_t *request = json_incref(json_array_get(lane->requests, 0));
    json_array_remove(lane->requests, 0);
    unlock();
    if (request == NULL) return NULL;
    say(perform(request));
    json_decref(request);
  }
}

/* Gives a request to its lane. */
static void hand_over(json_t *request) {
  const char *name = "";
  json_unpack(request, "{s?s}", "lane", &name);
  lock();
  lane_t *lane = lanes;
  while (lane != NULL && strcmp(lane->name, name) != 0) lane = lane->next;
  if (lane == NULL) {
    lane = calloc(1, sizeof *lane);
    *lane = (lane_t){.next = lanes, .name = strdup(name), .requests = json_array()};
    lanes = lane;
    if (pthread_create(&lane->thread, NULL, run, lane) != 0) abort();
  }
  json_array_append(lane->requests, request);
  unlock();
  changed();
}

static void close_all(void) {
  lock();
  handle_t *handle = handles;
  unlock();
  for (; handle != NULL; handle = handle->next) close_handle(handle, NULL);
}

/* Closing ends what the lanes wait for; then they do what they were given, and end. */
static void reset(void) {
  close_all();
  lock();
  ending = true;
  unlock();
  changed();
  for (lane_t *lane = lanes, *next; lane != NULL; lane = next) {
    pthread_join(lane->thread, NULL);
    next = lane->next;
    json_decref(lane->requests);
    free(lane->name);
    free(lane);
  }
  close_all(); /* what was made meanwhile */
  for (handle_t *handle = handles, *next; handle != NULL; handle = next) {
    next = handle->next;
    free_handle(handle);
  }
  handles = NULL;
  lanes = NULL;
  ending = false;
}

int main(void) {
  char *line = NULL;
  size_t size = 0;
  ssize_t len;
  bool bye = false;
  while (!bye && (len = getline(&line, &size, stdin)) > 0) {
    json_error_t error;
    json_t *request = json_loadb(line, (size_t)len, JSON_ALLOW_NUL, &error);
    const char *op = json_string_value(json_object_get(request, "op"));
    if (op == NULL) {
      fprintf(stderr, "not a request: %s\n%s", error.text, line);
      return 1;
    }
    bye = strcmp(op, "bye") == 0;
    if (bye || strcmp(op, "reset") == 0) {
      reset();
      say(json_pack("{s:O,s:{}}", REQUEST_ID, json_object_get(request, REQUEST_ID), "ok"));
    } else {
      hand_over(request);
    }
    json_decref(request);
  }
  if (!bye) reset();
  free(line);
  return 0;
}
