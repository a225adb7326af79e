#include "library.h"

#include <stdio.h>

#include "os.h"

int library_load(library_t *library, const char *path, char *why, size_t why_size) {
  void *handle = os_library_open(path, why, why_size);
  if (handle == NULL) return -1;
  /* The version first: what an older library lacks is better said by its number than by a missing
   * symbol. */
  library->abi_version =
      (__typeof__(honker_abi_version) *)os_library_symbol(handle, "honker_abi_version");
  if (library->abi_version == NULL) {
    snprintf(why, why_size, "this is not libhonker: it has no honker_abi_version");
    return -1;
  }
  const uint32_t has = library->abi_version();
  if (has >> 16 != HONKER_ABI_VERSION >> 16 || has < HONKER_ABI_VERSION) {
    snprintf(why, why_size,
             "its interface is version %u.%u, and this package needs %u.%u or a newer %u.x",
             has >> 16, has & 0xffff, HONKER_ABI_VERSION >> 16, HONKER_ABI_VERSION & 0xffff,
             HONKER_ABI_VERSION >> 16);
    return -1;
  }
#define LIBRARY_LOOK(name)                                                                  \
  library->name = (__typeof__(honker_##name) *)os_library_symbol(handle, "honker_" #name);  \
  if (library->name == NULL) {                                                              \
    snprintf(why, why_size, "it has no honker_" #name ": it is damaged, or not libhonker"); \
    return -1;                                                                              \
  }
  LIBRARY_FUNCTIONS(LIBRARY_LOOK)
#undef LIBRARY_LOOK
  return 0;
}
