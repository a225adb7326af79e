// What the tests share: a directory for their files, and a short way to say that something fails.

#ifndef HONKER_TESTS_SUPPORT_HPP
#define HONKER_TESTS_SUPPORT_HPP

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <limits>
#include <string>
#include <thread>
#include <utility>

#include "honker.hpp"

inline constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
inline constexpr std::int64_t smallest = std::numeric_limits<std::int64_t>::min();

// Not std::time(), whose clock may be a few milliseconds late: in the second before that of the library's.
inline std::int64_t now() {
  return static_cast<std::int64_t>(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()));
}

// A new directory, removed at the end.
class Directory {
 public:
  Directory() {
    std::string name = (std::filesystem::temp_directory_path() / "honker-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() { std::filesystem::remove_all(path_); }

  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

// A database in a directory of its own.
struct File {
  Directory directory;
  std::string path = directory / "app.db";
  honker::Database db{path};

  File() = default;
  explicit File(const honker::Options& options) : db(path, options) {}

  // Runs SQL in a transaction of its own.
  void run(const std::string& sql) const {
    auto tx = db.begin();
    tx.execute(sql);
    tx.commit();
  }

  std::int64_t count(const std::string& table) const {
    return db.query("SELECT count(*) FROM " + table)[0][0].integer();
  }
};

// Options of a file whose calls hardly wait when somebody else writes.
inline honker::Options impatient() {
  honker::Options options;
  options.busy_timeout_ms = 5;
  return options;
}

// Has the file refuse to delete, or to change, a job whose payload is "poison".
inline void refuse_poison(const File& file, const std::string& when) {
  file.run("CREATE TABLE IF NOT EXISTS never (x CHECK (x <> 'poison'))");
  file.run("CREATE TRIGGER \"refuse " + when + "\" BEFORE " + when +
           " ON _honker_live BEGIN INSERT INTO never VALUES (OLD.payload); END");
}

// Runs `body` in another thread, in a while; joined at the end.
template <class Body>
std::thread soon(Body body) {
  return std::thread([body] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    body();
  });
}

// Joins a thread at the end of a block, whatever happens in it.
class Joined {
 public:
  explicit Joined(std::thread thread) : thread_(std::move(thread)) {}
  Joined(const Joined&) = delete;
  Joined& operator=(const Joined&) = delete;
  ~Joined() { thread_.join(); }

 private:
  std::thread thread_;
};

// How long a call takes.
template <class Body>
std::chrono::milliseconds time_of(Body&& body) {
  const auto begin = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
}

// What the tests wait for at most, and what no test waits for to the end.
using namespace std::chrono_literals;
inline constexpr auto long_time = 20s;

// Waits until `done` is true, which it has to become.
template <class Done>
void wait_until(Done&& done) {
  for (int i = 0; i < 4000 && !done(); ++i) std::this_thread::sleep_for(5ms);
  CHECK(done());
}

// What is thrown by those who do not know better.
struct NoException {};
struct Mute : std::exception {
  const char* what() const noexcept override { return nullptr; }
};

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// The status of the Error that `body` throws; HONKER_OK if it throws nothing.
template <class Body>
honker_status_t status_of(Body&& body) {
  try {
    body();
  } catch (const honker::Error& error) {
    CHECK_FALSE(std::string(error.what()).empty());
    return error.status();
  }
  return HONKER_OK;
}

#define CHECK_FAILS(status, expression) \
  CHECK(std::string(honker_status_name(status_of([&] { static_cast<void>(expression); }))) == #status)

// The same of a Result.
#define CHECK_REFUSED(status, expression)                                     \
  do {                                                                        \
    const auto refused = (expression);                                        \
    CHECK_FALSE(refused.ok());                                                \
    if (!refused.ok()) CHECK(std::string(refused.error().name()) == #status); \
  } while (false)

#endif  // HONKER_TESTS_SUPPORT_HPP
