/*
 * libhonker, loaded at run time: a table of its functions by their names without the "honker_"
 * (abi.h).
 */
#ifndef HONKER_NODE_LIBRARY_H
#define HONKER_NODE_LIBRARY_H

#include <stddef.h>

#include "abi.h"
#include "honker.h"

typedef struct {
#define LIBRARY_FIELD(name) __typeof__(honker_##name) *name;
  LIBRARY_FUNCTIONS(LIBRARY_FIELD)
#undef LIBRARY_FIELD
} library_t;

/* Loads libhonker from `path`. 0 if it could be, else `why` says what is wrong with it. */
int library_load(library_t *library, const char *path, char *why, size_t why_size);

#endif
