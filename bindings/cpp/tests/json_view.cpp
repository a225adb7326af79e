// Reading JSON.

#include "honker/json_view.hpp"

#include "support.hpp"

using honker::detail::JsonView;

TEST_CASE("only JSON is JSON") {
  for (const char* json :
       {"0", "-1.5E+3", R"("\\\u12aF\/")", "[]", "{}", " [ [ ] , { } ] ", R"({"":null})", "true", "null"}) {
    CAPTURE(json);
    CHECK(JsonView::of(json));
  }
  const std::string too_deep = std::string(1002, '[') + std::string(1002, ']');
  for (const char* json : {"",     " ",      "01",       "-",           "+1",          "1.",    ".5",
                           "1e",   "tru",    "nulll",    "[",           "]",           "[1 2]", "[1,]",
                           "[,1]", "{,}",    R"({"a"})", R"({"a":})",   R"({"a":1,})", "{a:1}", "{1:1}",
                           "\"",   "\"\t\"", R"("\x")",  R"("\u12g4")", "'a'",         "1 2",   too_deep.c_str()}) {
    CAPTURE(json);
    CHECK_FALSE(JsonView::of(json));
  }
}

TEST_CASE("parts of JSON") {
  const std::string json =
      R"( {"n": -9223372036854775808, "big": 9223372036854775808, "real":2.5, "yes":true, "no" : null, "s\"":"\u00e4\ud83d\ude00\ud800.\n\\",)"
      R"( "o":{"k":[1, "]", {}]}, "k":3} )";
  const auto view = JsonView::of(json);
  REQUIRE(view);
  CHECK(view["n"].integer() == smallest);
  CHECK(view["big"].integer() == std::nullopt);
  CHECK(view["real"].integer() == std::nullopt);
  CHECK(view["real"].real() == 2.5);
  CHECK(view["n"].real() == -9223372036854775808.0);
  CHECK(view["yes"].integer() == 1);
  CHECK(view["no"].integer() == std::nullopt);
  CHECK(view["no"].text() == std::nullopt);
  CHECK(view["no"].real() == std::nullopt);
  CHECK(view["s\""].text() == "\u00e4\U0001F600\uFFFD.\n\\");
  CHECK(view["o"].text() == R"({"k":[1, "]", {}]})");
  const auto elements = view["o"]["k"].elements();
  REQUIRE(elements.size() == 3);
  CHECK(elements[0].integer() == 1);
  CHECK(elements[1].text() == "]");
  CHECK(elements[2].text() == "{}");
  CHECK(view["k"].integer() == 3);
  CHECK_FALSE(view["none"]);
  CHECK_FALSE(view["k"]["none"]);
  CHECK(view["k"].elements().empty());
  CHECK(JsonView::of("[]").elements().empty());
  CHECK_FALSE(JsonView::of("{}")["a"]);
}
