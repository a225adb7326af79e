#include <iostream>

#include "honker.hpp"

int main() {
  honker::Database db{"app.db"};
  db.queue("greetings").enqueue("hello");
  db.worker({{"greetings"}}, "worker-1").run([](honker::Job& job) { std::cout << job.payload() << std::endl; });
}
