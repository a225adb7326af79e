// Parameters and rows.

#include <cmath>

#include "support.hpp"

using honker::Blob;
using honker::Value;

TEST_CASE("what a parameter is made of") {
  CHECK(Value().type() == HONKER_TYPE_NULL);
  CHECK(Value(nullptr).is_null());
  CHECK(Value(std::nullopt).is_null());
  CHECK(Value(static_cast<const char*>(nullptr)).is_null());
  CHECK(Value(std::optional<int>()).is_null());
  CHECK(Value(std::optional<std::string>("x")).text() == "x");
  CHECK(Value(true).integer() == 1);
  CHECK(Value(short(-7)).integer() == -7);
  CHECK(Value(4000000000u).integer() == 4000000000);
  CHECK(Value(smallest).integer() == smallest);
  CHECK(Value(0).type() == HONKER_TYPE_INTEGER);
  CHECK(Value(1.5f).real() == 1.5);
  CHECK(Value("text").text() == "text");
  CHECK(Value(std::string_view("text")).text() == "text");
  CHECK(Value("").type() == HONKER_TYPE_TEXT);
  CHECK(Value(Blob{std::byte{7}}).blob() == Blob{std::byte{7}});
  CHECK(Value(1) != Value(1.0));

  // What could be cut short, or is not meant as a number, does not compile.
  static_assert(!std::is_constructible_v<Value, std::uint64_t>);
  static_assert(!std::is_constructible_v<Value, char>);
}

TEST_CASE("another type than what is in it") {
  const Value values[] = {Value(), Value(1), Value(1.0), Value("1"), Value(Blob{})};
  for (const Value& value : values) {
    CHECK(value.integer(std::nothrow).ok() == (value.type() == HONKER_TYPE_INTEGER));
    CHECK(value.real(std::nothrow).ok() == (value.type() == HONKER_TYPE_REAL));
    CHECK(value.text(std::nothrow).ok() == (value.type() == HONKER_TYPE_TEXT));
    CHECK(value.blob(std::nothrow).ok() == (value.type() == HONKER_TYPE_BLOB));
  }
  CHECK_FAILS(HONKER_INVALID, Value("1").integer());
  CHECK_FAILS(HONKER_INVALID, Value(1).real());
  CHECK_FAILS(HONKER_INVALID, Value(1).text());
  CHECK_FAILS(HONKER_INVALID, Value().blob());
  CHECK(std::string(Value("1").integer(std::nothrow).error().what()) == "the value is TEXT, not INTEGER");
}

TEST_CASE("every type comes back as it went in") {
  const File file;
  file.run("CREATE TABLE t (v)");
  const std::vector<Value> values = {nullptr,
                                     0,
                                     -1,
                                     largest,
                                     smallest,
                                     0.1,
                                     -HUGE_VAL,
                                     "",
                                     "t\xc3\xa4xt \xf0\x9f\x9a\x80",
                                     std::string(100000, 'x'),
                                     Blob{},
                                     Blob{std::byte{0}, std::byte{255}, std::byte{0}}};
  auto tx = file.db.begin();
  for (const Value& value : values) CHECK(tx.execute("INSERT INTO t VALUES (?)", {value}) == 1);
  CHECK(tx.query("SELECT v FROM t").size() == values.size());
  tx.commit();

  const auto rows = file.db.query("SELECT v FROM t ORDER BY rowid");
  REQUIRE(rows.size() == values.size());
  for (std::size_t i = 0; i < values.size(); ++i) CHECK(rows[i][0].variant() == values[i].variant());

  // Several of mixed types, and none.
  const auto row = file.db.query("SELECT ?1, ?2, ?3, ?4 AS last", {7, 2.5, "seven", Blob{std::byte{7}}})[0];
  CHECK(row.size() == 4);
  CHECK(row[0u].integer() == 7);
  CHECK(row[std::size_t(1)].real() == 2.5);
  CHECK(row[2].text() == "seven");
  CHECK(row["last"].blob().size() == 1);
  CHECK(row.columns() == std::vector<std::string>{"?1", "?2", "?3", "last"});
  CHECK(file.db.query("SELECT v FROM t WHERE v = 'nobody'").empty());
}

TEST_CASE("a column that is not there") {
  const File file;
  const auto row = file.db.query("SELECT 1 AS one")[0];
  CHECK_FAILS(HONKER_NOT_FOUND, row[1]);
  CHECK_FAILS(HONKER_NOT_FOUND, row[-1]);
  CHECK_FAILS(HONKER_NOT_FOUND, row["two"]);
  CHECK_REFUSED(HONKER_NOT_FOUND, row.at(std::nothrow, 1));
  CHECK_REFUSED(HONKER_NOT_FOUND, row.at(std::nothrow, "two"));
  CHECK(row.at(std::nothrow, 0)->integer() == 1);
  CHECK(row.at(std::nothrow, "one")->integer() == 1);
}

TEST_CASE("as many parameters as the statement has") {
  const File file;
  CHECK_FAILS(HONKER_INVALID, file.db.query("SELECT ?"));
  CHECK_FAILS(HONKER_INVALID, file.db.query("SELECT ?", {1, 2}));
  auto tx = file.db.begin();
  CHECK_FAILS(HONKER_INVALID, tx.execute("SELECT ?"));
  CHECK_FAILS(HONKER_INVALID, tx.query("SELECT 1", {1}));
}
