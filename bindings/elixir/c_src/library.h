/*
 * libhonker, loaded at run time: a table of its functions by their names without the "honker_" (abi.h).
 *
 * Threads: library_load takes a lock; once it has succeeded the table does not change.
 */
#ifndef HONKER_NIF_LIBRARY_H
#define HONKER_NIF_LIBRARY_H

#include <stddef.h>

#include "abi.h"
#include "honker.h"

struct library {
  size_t size; /* of this struct, once it is filled: a module that is loaded again may be of another version */
#define LIBRARY_FIELD(name) __typeof__(honker_##name) *name;
  LIBRARY_FUNCTIONS(LIBRARY_FIELD)
#undef LIBRARY_FIELD
};

extern struct library lib;

/* Loads libhonker from `path`. 0 if it could be, else `why` says what is wrong with it. */
int library_load(const char *path, char *why, size_t why_size);

#endif
