// honker for C++, with its worker. The lines that it speaks with the driver are in bench/peers/README.md.

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "honker.hpp"
#include "honker/json.hpp"

using nlohmann::json;
using std::chrono::duration;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

using Work = std::pair<std::string, int>;  // what it is, and its number

namespace {

constexpr std::int64_t day_s = 86'400;

std::string environment(const char* name, const char* otherwise = "") {
  const char* const value = std::getenv(name);
  return value ? value : otherwise;
}

std::int64_t nanoseconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

honker::Options options() {
  honker::Options options;
  if (environment("PEER_DURABILITY") == "synced") options.durability = honker::Durability::full;
  return options;
}

class Producer {
 public:
  void run() {
    answer({{"ready", true}});
    for (std::string line; std::getline(std::cin, line);) {
      try {
        answer(act(json::parse(line)));
      } catch (const std::exception& error) {
        answer({{"error", error.what()}});
      }
    }
  }

 private:
  static void answer(const json& value) { std::cout << value.dump() << std::endl; }

  json act(const json& request) {
    const auto kind = request.at("kind").get<std::string>(), way = request.value("way", "plain");
    const int first = request.at("first"), count = request.at("count"), batch = request.value("batch", 1);
    const double cap_s = request.value("cap_s", 3600.0);
    const bool commit = request.value("commit", true);
    const auto at = nanoseconds();
    const auto started = steady_clock::now();
    const auto seconds = [&] { return duration<double>(steady_clock::now() - started).count(); };
    int done = 0;
    while (done < count && seconds() < cap_s) {
      std::vector<Work> jobs;
      for (int i = 0; i < std::min(batch, count - done); i++) jobs.emplace_back(kind, first + done + i);
      enqueue(way, jobs, commit);
      done += static_cast<int>(jobs.size());
    }
    return {{"at", at}, {"count", done}, {"seconds", seconds()}};
  }

  void enqueue(const std::string& way, const std::vector<Work>& jobs, bool commit) {
    if (way == "transact") {
      transact(jobs.front(), commit);
    } else if (way == "plain" && jobs.size() == 1) {
      queue_.enqueue(honker::encode(jobs.front()));
    } else {
      honker::EnqueueOptions options;
      if (way == "later") options.delay_s = day_s;
      std::vector<std::string> payloads;
      for (const Work& job : jobs) payloads.push_back(honker::encode(job));
      queue_.enqueue_many(payloads, options);
    }
  }

  void transact(const Work& job, bool commit) {
    auto tx = db_.begin();
    tx.execute("INSERT INTO orders (n) VALUES (?)", {job.second});
    queue_.enqueue_tx(tx, honker::encode(job));
    if (commit) tx.commit();  // else it is rolled back here
  }

  honker::Database db_{environment("PEER_URL"), options()};
  decltype(db_.queue("bench")) queue_ = db_.queue("bench");
};

void work() {
  honker::Database db{environment("PEER_URL"), options()};
  const int events = open(environment("PEER_EVENTS").c_str(), O_WRONLY | O_APPEND);
  honker::WorkerOptions options;
  options.concurrency = std::stoi(environment("PEER_CONCURRENCY", "1"));
  auto worker = db.worker({{"bench"}}, "worker-1", options);
  worker.run(honker::typed<Work>([&](const Work& job) {
    const auto& [kind, number] = job;
    if (kind == "append") {
      std::this_thread::sleep_for(milliseconds(2));
      auto tx = db.begin();
      tx.execute("INSERT INTO appended (n) VALUES (?)", {number});
      tx.commit();
      std::this_thread::sleep_for(milliseconds(2));
    }
    const auto line = kind + " " + std::to_string(number) + " " + std::to_string(nanoseconds()) + " " +
                      std::to_string(getpid()) + "\n";
    if (write(events, line.data(), line.size()) < 0) throw std::runtime_error("the file of events");
    if (kind == "hold") std::this_thread::sleep_for(std::chrono::hours(1));
  }));
}

}  // namespace

int main(int, char** arguments) {
  if (std::string(arguments[1]) == "work") {
    work();
  } else {
    Producer().run();
  }
}
