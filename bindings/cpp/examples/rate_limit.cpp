// At most ten calls in each hour, whichever process makes them.

#include <iostream>

#include "honker.hpp"

int main() {
  honker::Database db{"app.db"};
  int called = 0;
  for (int i = 0; i < 12; ++i) {
    if (db.try_rate_limit("api", 10, 3600)) ++called;
  }
  // Should the hour have ended in between, two more were allowed.
  std::cout << (called == 10 || called == 12 ? "limited" : "not limited") << "\n";
  db.sweep_rate_limits(86400);  // now and then: windows older than a day
}
