// Does the library at hand serve this header? `abi fits` says yes; with other_abi loaded, whose version the argument
// is, only a higher minor version does.

#include <cstdio>
#include <string>

#include "honker.hpp"

int main(int argc, char** argv) {
  const std::string version = argc > 1 ? argv[1] : "";
  const auto opened = honker::Database::open(std::nothrow, "file:/no/such/directory/app.db");
  const auto next = honker::Scheduler::next_after(std::nothrow, "@every 1s", 0);
  if (version == "fits" || version == "0x20002") {
    return opened.error().status() == HONKER_CANNOT_OPEN && next.ok() ? 0 : 1;
  }
  std::printf("%s\n", opened.error().what());
  return opened.error().status() == HONKER_UNSUPPORTED && next.error().status() == HONKER_UNSUPPORTED ? 0 : 1;
}
