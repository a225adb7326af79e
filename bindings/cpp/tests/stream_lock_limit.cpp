// Streams, locks and rate limits.

#include "support.hpp"

TEST_CASE("events and offsets") {
  const File file;
  const auto s = file.db.stream("orders");
  CHECK(s.topic() == "orders");
  CHECK(s.read_since(0).empty());
  const auto before = now();
  const auto first = s.publish("1");
  const auto second = s.publish("2", "");
  const auto third = s.publish("3", "key");
  CHECK(first < second);
  file.db.stream("other").publish("4");

  const auto events = s.read_since(0);
  REQUIRE(events.size() == 3);
  CHECK(events[0].offset == first);
  CHECK(events[0].topic == "orders");
  CHECK(events[0].payload == "1");
  CHECK(events[0].key.empty());
  CHECK_FALSE(events[0].has_key);
  CHECK(events[0].created_at >= before);
  CHECK(events[1].key.empty());
  CHECK(events[1].has_key);
  CHECK(events[2].key == "key");
  CHECK(s.read_since(first).size() == 2);
  CHECK(s.read_since(0, 2).size() == 2);
  CHECK(s.read_since(0, 0).empty());
  CHECK(s.read_since(0, -1).size() == 3);

  CHECK(s.get_offset("c") == 0);
  CHECK(s.save_offset("c", second));
  CHECK_FALSE(s.save_offset("c", first));  // never back
  CHECK(s.get_offset("c") == second);
  CHECK(s.get_offset("other") == 0);
  CHECK(s.read_from_consumer("c").size() == 1);
  CHECK(s.read_from_consumer("c")[0].offset == third);
  CHECK(s.read_from_consumer("other", 2).size() == 2);

  {
    auto tx = file.db.begin();
    CHECK(s.save_offset_tx(tx, "c", third));
    CHECK(s.publish_tx(tx, "5", "k") > third);
  }
  CHECK(s.get_offset("c") == second);
  CHECK(s.read_since(0).size() == 3);
  auto tx = file.db.begin();
  CHECK(s.save_offset_tx(tx, "c", third));
  CHECK(s.publish_tx(tx, "5", std::string_view()) > third);
  tx.commit();
  CHECK(s.get_offset("c") == third);
  CHECK(s.read_from_consumer("c").at(0).has_key);  // a string_view without an address is a key, an empty one
}

TEST_CASE("a lock is released by its destructor") {
  const File file;
  {
    const auto lock = file.db.try_lock("l", "me", 100);
    REQUIRE(lock.has_value());
    CHECK(lock->name() == "l");
    CHECK(lock->owner() == "me");
    CHECK_FALSE(file.db.try_lock("l", "you").has_value());
    CHECK(file.db.try_lock("other", "you").has_value());
    CHECK(file.db.query("SELECT expires_at - unixepoch() FROM _honker_locks WHERE name = 'l'")[0][0].integer() > 90);
  }
  CHECK(file.db.try_lock("l", "you").has_value());
}

TEST_CASE("a lock without an owner excludes everybody") {
  const File file;
  const auto lock = file.db.try_lock("l");
  REQUIRE(lock.has_value());
  CHECK(lock->owner().size() == 32);
  CHECK_FALSE(file.db.try_lock("l").has_value());
  CHECK_FALSE(file.db.try_lock(std::nothrow, "l")->has_value());
  CHECK(file.db.try_lock("m")->owner() != lock->owner());
}

TEST_CASE("release and heartbeat") {
  const File file;
  const auto seconds_left = [&] {
    return file.db.query("SELECT expires_at - unixepoch() FROM _honker_locks")[0][0].integer();
  };
  auto lock = file.db.try_lock("l", "me", 100);
  CHECK(lock->heartbeat(1000));
  CHECK(seconds_left() > 900);
  CHECK(lock->heartbeat());  // as many as it was taken for
  CHECK(seconds_left() <= 100);
  CHECK(seconds_left() > 90);
  CHECK_FAILS(HONKER_INVALID, lock->heartbeat(0));
  CHECK(lock->release());
  CHECK_FALSE(lock->release());
  CHECK_FALSE(lock->heartbeat());
}

TEST_CASE("a lock that was stolen disturbs nobody") {
  const File file;
  {
    auto lock = file.db.try_lock("l", "me", 100);
    file.run("UPDATE _honker_locks SET expires_at = unixepoch()");
    auto other = file.db.try_lock("l", "you", 100);
    REQUIRE(other.has_value());
    CHECK_FALSE(lock->heartbeat());
    lock.reset();
    CHECK(file.count("_honker_locks") == 1);
    CHECK(other->heartbeat());
  }
  CHECK(file.count("_honker_locks") == 0);
}

TEST_CASE("a lock that was released by hand is not released twice") {
  const File file;
  auto lock = file.db.try_lock("l", "me");
  CHECK(lock->release());
  auto again = file.db.try_lock("l", "me");  // the same owner, later
  lock.reset();
  CHECK(file.count("_honker_locks") == 1);
}

TEST_CASE("moving a lock") {
  const File file;
  auto a = file.db.try_lock("a", "me");
  auto b = file.db.try_lock("b", "me");
  *a = std::move(*b);  // a's is released, b's is moved
  CHECK(file.count("_honker_locks") == 1);
  CHECK(file.db.query("SELECT name FROM _honker_locks")[0][0].text() == "b");
  b.reset();
  CHECK(file.count("_honker_locks") == 1);
  auto& self = *a;
  *a = std::move(self);
  CHECK(file.count("_honker_locks") == 1);
  const honker::Lock moved(std::move(*a));
  CHECK(moved.name() == "b");
  CHECK_FAILS(HONKER_MISUSE, a->release());
  a.reset();
  CHECK(file.count("_honker_locks") == 1);
}

TEST_CASE("rate limits") {
  const File file;
  int allowed = 0;
  for (int i = 0; i < 5; ++i) allowed += file.db.try_rate_limit("api", 2, 1000000) ? 1 : 0;
  CHECK(allowed == 2);
  CHECK(file.db.try_rate_limit("other", 2, 1000000));
  CHECK_FAILS(HONKER_INVALID, file.db.try_rate_limit("api", 0, 10));
  CHECK_FAILS(HONKER_INVALID, file.db.try_rate_limit("api", 1, -10));
  CHECK(file.db.sweep_rate_limits(1000000) == 0);
  CHECK(file.db.sweep_rate_limits(-1) == 2);
}
