/*
 * The testee of the C ABI: does what conformance/PROTOCOL.md says with libhonker, and answers what
 * that answered.
 *
 * This thread reads requests and gives them to lanes; `reset` and `bye` it does itself. A lane is a
 * thread that reads its requests, as pointers, from a pipe. One lock guards the list of handles and
 * standard output.
 */
#include "testee.h"

#include <stdio.h>
#include <unistd.h>

typedef struct lane {
  struct lane *next;
  char *name;
  pthread_t thread;
  int out, in;
} lane_t;

static lane_t *lanes;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

void lock(void) { pthread_mutex_lock(&mutex); }
void unlock(void) { pthread_mutex_unlock(&mutex); }

static void say(json_t *answer) {
  lock();
  json_dumpf(answer, stdout, JSON_COMPACT);
  putchar('\n');
  fflush(stdout);
  unlock();
  json_decref(answer);
}

static void *run(void *lane) {
  json_t *request;
  while (read(((lane_t *)lane)->out, &request, sizeof request) == sizeof request) {
    say(perform(request));
    json_decref(request);
  }
  return NULL;
}

static void hand_over(json_t *request) {
  const char *name = "";
  int ends[2];
  json_unpack(request, "{s?s}", "lane", &name);
  lane_t *lane = lanes;
  while (lane != NULL && strcmp(lane->name, name) != 0) lane = lane->next;
  if (lane == NULL) {
    lane = calloc(1, sizeof *lane);
    if (pipe(ends) != 0) abort();
    *lane = (lane_t){.next = lanes, .name = strdup(name), .out = ends[0], .in = ends[1]};
    lanes = lane;
    if (pthread_create(&lane->thread, NULL, run, lane) != 0) abort();
  }
  if (write(lane->in, &request, sizeof request) != sizeof request) abort();
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
  for (lane_t *lane = lanes, *next; lane != NULL; lane = next) {
    close(lane->in);
    pthread_join(lane->thread, NULL);
    close(lane->out);
    next = lane->next;
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
    if (!bye && strcmp(op, "reset") != 0) {
      hand_over(request);
      continue;
    }
    reset();
    say(json_pack("{s:O,s:{}}", REQUEST_ID, json_object_get(request, REQUEST_ID), "ok"));
    json_decref(request);
  }
  if (!bye) reset();
  free(line);
  return 0;
}
