// Error and Result.

#include <memory>

#include "support.hpp"

using honker::Error;
using honker::Result;

TEST_CASE("an error has a status, its name, a text and SQLite's codes") {
  const Error error(HONKER_BUSY, "locked", 5, 517);
  CHECK(error.status() == HONKER_BUSY);
  CHECK(std::string(error.name()) == "HONKER_BUSY");
  CHECK(std::string(error.what()) == "locked");
  CHECK(error.sqlite_code() == 5);
  CHECK(error.sqlite_extended_code() == 517);
  CHECK(std::string(Error(-12345, "?").name()) == "HONKER_UNKNOWN");
  static_assert(std::is_base_of_v<std::runtime_error, Error>);
  static_assert(std::is_nothrow_copy_constructible_v<Error>);
}

TEST_CASE("predicates and exception types say the same") {
  const auto thrown = [](honker_status_t status) -> std::string {
    try {
      Result<int>(Error(status, "x")).value();
    } catch (const honker::BusyError& e) {
      return e.is_busy() ? "busy" : "?";
    } catch (const honker::ClosedError& e) {
      return e.is_closed() ? "closed" : "?";
    } catch (const honker::ConstraintError& e) {
      return e.is_constraint() ? "constraint" : "?";
    } catch (const honker::InterruptedError& e) {
      return e.is_interrupted() ? "interrupted" : "?";
    } catch (const Error& e) {
      return e.is_busy() || e.is_closed() || e.is_constraint() || e.is_interrupted() ? "?" : "other";
    }
    return "nothing";
  };
  CHECK(thrown(HONKER_BUSY) == "busy");
  CHECK(thrown(HONKER_CLOSED_HANDLE) == "closed");
  CHECK(thrown(HONKER_CONSTRAINT) == "constraint");
  CHECK(thrown(HONKER_INTERRUPTED) == "interrupted");
  CHECK(thrown(HONKER_MISUSE) == "other");
  CHECK(thrown(HONKER_CLOSED) == "other");  // a positive status is not the error of that name
  CHECK(thrown(-12345) == "other");

  CHECK(Error(HONKER_BUSY, "").is_transient());
  CHECK(Error(HONKER_FULL, "").is_transient());
  CHECK_FALSE(Error(HONKER_CORRUPT, "").is_transient());
}

TEST_CASE("a result holds a value or an error") {
  Result<std::string> good(std::string("text"));
  CHECK(good.ok());
  CHECK(good.value() == "text");
  CHECK(*good == "text");
  CHECK(good->size() == 4);
  CHECK_FAILS(HONKER_MISUSE, good.error());

  const Result<std::string> bad(Error(HONKER_FULL, "full"));
  CHECK_FALSE(bad.ok());
  CHECK(bad.error().status() == HONKER_FULL);
  CHECK_FAILS(HONKER_FULL, bad.value());
  CHECK_FAILS(HONKER_FULL, *bad);
  CHECK_FAILS(HONKER_FULL, bad->size());

  CHECK(*Result<std::unique_ptr<int>>(std::make_unique<int>(7)).value() == 7);
}

TEST_CASE("a result is not a condition") {
  // `if (job.ack(std::nothrow))` would be true for a lost claim.
  static_assert(!std::is_constructible_v<bool, Result<bool>>);
  static_assert(!std::is_constructible_v<bool, Result<void>>);
}

TEST_CASE("a result without a value") {
  const Result<void> good;
  CHECK(good.ok());
  good.value();
  CHECK_FAILS(HONKER_MISUSE, good.error());

  const Result<void> bad(Error(HONKER_IO, "io"));
  CHECK_FALSE(bad.ok());
  CHECK(bad.error().status() == HONKER_IO);
  CHECK_FAILS(HONKER_IO, bad.value());
}

TEST_CASE("what a newer library may answer") {
  const honker::detail::CorePtr none;
  const auto answer = [](honker_status_t status) { return [status](auto&&...) { return status; }; };
  // An unknown positive status: the call did not do what HONKER_OK would have meant.
  CHECK_FALSE(*honker::detail::call(none, answer(99)));
  CHECK_REFUSED(HONKER_UNSUPPORTED, honker::detail::done(none, answer(99)));
  CHECK_REFUSED(HONKER_UNSUPPORTED, honker::detail::number(none, answer(99)));
  CHECK_FALSE(honker::detail::optional_number(none, answer(99))->has_value());
  CHECK_FALSE(honker::detail::optional_text(none, answer(99))->has_value());
  // An unknown negative one, without an error object.
  CHECK_REFUSED(HONKER_UNKNOWN, honker::detail::call(none, answer(-99)));
}

TEST_CASE("which library serves which header") {
  using honker::detail::abi_fits;
  static_assert(abi_fits(0x10002, 0x10002));
  static_assert(abi_fits(0x10002, 0x10003));
  static_assert(!abi_fits(0x10002, 0x10001));
  static_assert(!abi_fits(0x10002, 0x20002));
  static_assert(!abi_fits(0x20000, 0x1ffff));
  CHECK(honker::detail::check_abi().ok());
  const auto refused = honker::detail::check_abi(0x30005);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().status() == HONKER_UNSUPPORTED);
  CHECK(contains(refused.error().what(), "interface version " + honker::detail::abi_text(HONKER_ABI_VERSION)));
  CHECK(contains(refused.error().what(), "interface version is 3.5"));
  CHECK(contains(refused.error().what(), honker::version()));
}
