// A job and the application's own data in one transaction of the application's own SQLite connection.

#include <cstdlib>
#include <iostream>

#include "honker.hpp"
#include "honker/sqlite3.hpp"

int main() {
  const honker::Database db{"app.db"};  // the file has honker's tables from here on
  sqlite3* connection = nullptr;
  if (sqlite3_open("app.db", &connection) != SQLITE_OK) return 1;
  const auto execute = [&](const char* sql) {
    if (sqlite3_exec(connection, sql, nullptr, nullptr, nullptr) != SQLITE_OK) std::exit(1);
  };
  execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER)");

  execute("BEGIN");
  execute("INSERT INTO orders (id, total) VALUES (42, 99)");
  honker::enqueue_sql(connection, "emails", R"({"to":"alice","order_id":42})");
  execute("COMMIT");
  sqlite3_close(connection);

  if (auto job = db.queue("emails").claim_one("worker-1")) std::cout << job->payload() << "\n";
}
