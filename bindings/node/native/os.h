/*
 * What the addon wants of the operating system: a thread, a lock with a condition, a monotonic
 * clock, and a library that is loaded at run time. POSIX and Windows have them under different
 * names.
 */
#ifndef HONKER_NODE_OS_H
#define HONKER_NODE_OS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#ifdef _WIN32
#include <windows.h>

typedef CRITICAL_SECTION os_lock_t;
typedef CONDITION_VARIABLE os_condition_t;
typedef HANDLE os_thread_t;
#define OS_THREAD_RESULT DWORD WINAPI

static inline void os_lock_init(os_lock_t *lock) { InitializeCriticalSection(lock); }
static inline void os_lock_free(os_lock_t *lock) { DeleteCriticalSection(lock); }
static inline void os_lock(os_lock_t *lock) { EnterCriticalSection(lock); }
static inline void os_unlock(os_lock_t *lock) { LeaveCriticalSection(lock); }
static inline void os_condition_init(os_condition_t *condition) {
  InitializeConditionVariable(condition);
}
static inline void os_condition_free(os_condition_t *condition) { (void)condition; }
static inline void os_wake_all(os_condition_t *condition) { WakeAllConditionVariable(condition); }
static inline int64_t os_now_ms(void) { return (int64_t)GetTickCount64(); }
static inline void os_wait(os_condition_t *condition, os_lock_t *lock, int64_t timeout_ms) {
  SleepConditionVariableCS(condition, lock, timeout_ms < 0 ? INFINITE : (DWORD)timeout_ms);
}
static inline bool os_thread_start(os_thread_t *thread, OS_THREAD_RESULT (*run)(void *),
                                   void *argument) {
  *thread = CreateThread(NULL, 0, run, argument, 0, NULL);
  return *thread != NULL;
}
static inline void os_thread_join(os_thread_t thread) {
  WaitForSingleObject(thread, INFINITE);
  CloseHandle(thread);
}
static inline void *os_library_open(const char *path, char *why, size_t why_size) {
  wchar_t wide[MAX_PATH * 4];
  void *library = NULL;
  if (MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, sizeof wide / sizeof *wide) > 0)
    library = LoadLibraryW(wide);
  if (library == NULL) snprintf(why, why_size, "error %lu of Windows", GetLastError());
  return library;
}
static inline void *os_library_symbol(void *library, const char *name) {
  return (void *)GetProcAddress((HMODULE)library, name);
}
static inline void *os_program_symbol(const char *name) {
  return (void *)GetProcAddress(GetModuleHandle(NULL), name);
}

#else
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <time.h>

typedef pthread_mutex_t os_lock_t;
typedef pthread_cond_t os_condition_t;
typedef pthread_t os_thread_t;
#define OS_THREAD_RESULT void *

static inline void os_lock_init(os_lock_t *lock) { pthread_mutex_init(lock, NULL); }
static inline void os_lock_free(os_lock_t *lock) { pthread_mutex_destroy(lock); }
static inline void os_lock(os_lock_t *lock) { pthread_mutex_lock(lock); }
static inline void os_unlock(os_lock_t *lock) { pthread_mutex_unlock(lock); }
static inline void os_condition_free(os_condition_t *condition) { pthread_cond_destroy(condition); }
static inline void os_wake_all(os_condition_t *condition) { pthread_cond_broadcast(condition); }
static inline int64_t os_now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
#ifdef __APPLE__
static inline void os_condition_init(os_condition_t *condition) {
  pthread_cond_init(condition, NULL);
}
#else
static inline void os_condition_init(os_condition_t *condition) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(condition, &attributes);
  pthread_condattr_destroy(&attributes);
}
#endif
/* May return early. A negative time is without end. */
static inline void os_wait(os_condition_t *condition, os_lock_t *lock, int64_t timeout_ms) {
  if (timeout_ms < 0) {
    pthread_cond_wait(condition, lock);
    return;
  }
#ifdef __APPLE__
  struct timespec span = {timeout_ms / 1000, (timeout_ms % 1000) * 1000000};
  pthread_cond_timedwait_relative_np(condition, lock, &span);
#else
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += timeout_ms / 1000;
  until.tv_nsec += (timeout_ms % 1000) * 1000000;
  if (until.tv_nsec >= 1000000000) {
    until.tv_sec++;
    until.tv_nsec -= 1000000000;
  }
  pthread_cond_timedwait(condition, lock, &until);
#endif
}
static inline bool os_thread_start(os_thread_t *thread, void *(*run)(void *), void *argument) {
  return pthread_create(thread, NULL, run, argument) == 0;
}
static inline void os_thread_join(os_thread_t thread) { pthread_join(thread, NULL); }
/* RTLD_LOCAL keeps its symbols from everything else in this process. It is never unloaded: its
 * threads may run. */
static inline void *os_library_open(const char *path, char *why, size_t why_size) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) snprintf(why, why_size, "%s", dlerror());
  return library;
}
static inline void *os_library_symbol(void *library, const char *name) {
  return dlsym(library, name);
}
static inline void *os_program_symbol(const char *name) { return dlsym(RTLD_DEFAULT, name); }
#endif

#endif
