// Compiled without exceptions: a function of the throwing kind that fails ends the program, and says why.

#include "honker.hpp"

int main() {
  honker::Database db{"/no/such/directory/app.db"};
  return 0;
}
