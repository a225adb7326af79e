/* The least a program does with honker: consumer FILE. */
#if defined(__cplusplus) && __has_include(<honker.hpp>)
#include <honker.hpp>
#endif
#include "check.h"

int main(int argc, char **argv) {
  CHECK(argc == 2);
  use_honker(argv[1]);
  return 0;
}
