#include "vbp/core/text.hpp"

#include <limits>
#include <string>

#include "support/catch.hpp"

TEST_CASE("a number is shown by the shortest text that reads back as the same", "[text]") {
  CHECK(vbp::shortest_text(0.0) == "0");
  CHECK(vbp::shortest_text(0.1) == "0.1");
  CHECK(vbp::shortest_text(-1.0) == "-1");
  CHECK(vbp::shortest_text(1e308) == "1e+308");
  CHECK(vbp::shortest_text(0.1 + 0.2) == "0.30000000000000004");
  CHECK(vbp::shortest_text(std::numeric_limits<double>::quiet_NaN()) == "nan");
  CHECK(vbp::shortest_text(-std::numeric_limits<double>::infinity()) == "-inf");
  // The longest text that a double can have.
  CHECK(vbp::shortest_text(-std::numeric_limits<double>::min()) == "-2.2250738585072014e-308");
}
