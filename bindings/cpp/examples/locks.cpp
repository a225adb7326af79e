// A lock that one process at a time has, and that a crash gives back.

#include <iostream>

#include "honker.hpp"

int main() {
  honker::Database db{"app.db"};

  if (auto lock = db.try_lock("nightly-backup")) {  // until the end of the block
    std::cout << "backing up\n";
    if (!db.try_lock("nightly-backup")) std::cout << "somebody is at it\n";
    if (!lock->heartbeat()) std::cout << "too slow: somebody else has it\n";  // 60 more seconds
  }

  auto lock = db.try_lock("nightly-backup", "host-7", 600);  // an owner and a time of one's own
  std::cout << "owner: " << lock->owner() << "\n";
}
