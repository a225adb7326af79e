// Stands in for a library with another interface version, when it is preloaded.

#include <cstdint>
#include <cstdlib>

extern "C" std::uint32_t honker_abi_version() {
  return static_cast<std::uint32_t>(std::strtoul(std::getenv("OTHER_ABI_VERSION"), nullptr, 0));
}
