#include "library.h"

#include <dlfcn.h>
#include <stdio.h>

struct library lib;

int library_load(const char *path, char *why, size_t why_size) {
  struct library found;
  /* RTLD_LOCAL keeps its symbols from everything else in this process. It is never unloaded: its threads may run. */
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL) {
    snprintf(why, why_size, "%s", dlerror());
    return -1;
  }
  /* The version first: what an older library lacks is better said by its number than by a missing symbol. */
  found.abi_version = (__typeof__(honker_abi_version) *)dlsym(handle, "honker_abi_version");
  if (found.abi_version == NULL) {
    snprintf(why, why_size, "this is not libhonker: it has no honker_abi_version");
    return -1;
  }
  const uint32_t has = found.abi_version();
  if (has >> 16 != HONKER_ABI_VERSION >> 16 || has < HONKER_ABI_VERSION) {
    snprintf(why, why_size, "its interface is version %u.%u, and this package needs %u.%u or a newer %u.x", has >> 16,
             has & 0xffff, HONKER_ABI_VERSION >> 16, HONKER_ABI_VERSION & 0xffff, HONKER_ABI_VERSION >> 16);
    return -1;
  }
#define LIBRARY_LOOK(name)                                                                  \
  found.name = (__typeof__(honker_##name) *)dlsym(handle, "honker_" #name);                 \
  if (found.name == NULL) {                                                                 \
    snprintf(why, why_size, "it has no honker_" #name ": it is damaged, or not libhonker"); \
    return -1;                                                                              \
  }
  LIBRARY_FUNCTIONS(LIBRARY_LOOK)
#undef LIBRARY_LOOK
  found.size = sizeof found;
  lib = found;
  return 0;
}
