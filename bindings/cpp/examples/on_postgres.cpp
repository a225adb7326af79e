// Jobs on a Postgres server: a worker on its URL, and a job in a transaction of the application's own libpq connection.

#include <libpq-fe.h>

#include <cstdlib>
#include <iostream>

#include "honker.hpp"
#include "honker/libpq.hpp"

namespace {

void order(const char* url) {
  PGconn* connection = PQconnectdb(url);
  const auto execute = [&](const char* sql) {
    PGresult* result = PQexec(connection, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) std::exit(1);
    PQclear(result);
  };
  execute("CREATE TEMPORARY TABLE orders (id int, total int)");

  honker::EnqueueOptions once;
  once.unique_key = "order 42";
  execute("BEGIN");
  execute("INSERT INTO orders (id, total) VALUES (42, 99)");
  honker::enqueue_sql(connection, "emails", R"({"to":"alice","order_id":42})", once);
  execute("COMMIT");
  PQfinish(connection);
}

}  // namespace

int main(int, char** arguments) {
  const char* const url = arguments[1];
  honker::Database db{url};  // "postgres://app@db.example.com/app"
  auto worker = db.worker({{"emails"}}, "worker-1");
  order(arguments[2]);
  worker.run([&worker](honker::Job& job) {
    std::cout << job.payload() << "\n";
    worker.stop();
  });
}
