#include "llm/regular/number.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <regex>

#include "base/error.h"
#include "llm/regular/decimal.h"

namespace throng::llm {
namespace {

using ::testing::HasSubstr;

const std::string kWhere = "JSON schema: #/a";

// Calls `visit` with every text over an alphabet of up to `longest` characters.
void ForAllTexts(std::string_view alphabet, size_t longest,
                 const std::function<void(const std::string&)>& visit) {
  std::string text;
  const std::function<void()> visit_longer = [&] {
    visit(text);
    if (text.size() == longest) return;
    for (const char c : alphabet) {
      text.push_back(c);
      visit_longer();
      text.pop_back();
    }
  };
  visit_longer();
}

// Texts of few digits differ by much more than long doubles do.
bool IsWithin(const std::string& text, const NumberBounds& bounds) {
  const auto number = [](const std::string& json) { return std::strtold(json.c_str(), nullptr); };
  const long double value = number(text);
  const auto& b = bounds;
  if (!b.minimum.empty() && value < number(b.minimum)) return false;
  if (!b.maximum.empty() && value > number(b.maximum)) return false;
  if (!b.exclusive_minimum.empty() && value <= number(b.exclusive_minimum)) return false;
  if (!b.exclusive_maximum.empty() && value >= number(b.exclusive_maximum)) return false;
  if (b.multiple_of.empty()) return true;
  // Whole numbers of millionths: exact for texts without an exponent.
  return std::fmod(std::round(value * 1e6L), std::round(number(b.multiple_of) * 1e6L)) == 0;
}

const std::vector<NumberBounds> kBounds = {
    {},
    {.minimum = "0"},
    {.maximum = "-1"},
    {.exclusive_minimum = "0"},
    {.exclusive_minimum = "-1", .exclusive_maximum = "2"},
    {.minimum = "-4", .maximum = "4"},
    {.minimum = "0.5", .maximum = "1.5"},
    {.minimum = "-0.0", .maximum = "0"},
    {.minimum = "5", .maximum = "5.0"},
    {.minimum = "-51", .maximum = "-1.5"},
    {.minimum = "-51", .exclusive_minimum = "-51", .maximum = "1e1", .exclusive_maximum = "15"},
    {.minimum = "1.05", .maximum = "1.15"},
    {.exclusive_minimum = "0.01", .exclusive_maximum = "0.05"},
    {.minimum = "1e3", .maximum = "1.5E4"},
    {.minimum = "-1e-3", .maximum = "1e-5"},
    {.minimum = "10.5"},
    {.maximum = "-0.15"},
    {.exclusive_maximum = "1e5"},
};

TEST(NumberTexts, AreAllWithinTheBoundsAndNoOthers) {
  const std::regex form(
      "-?(?:(?:0|[1-9]\\d*)(?:\\.\\d+)?|[1-9](?:\\.\\d+)?[eE](?:\\+?0?\\d|-0?[1-9]|[+-]?[1-9]\\d+))");
  for (const NumberBounds& bounds : kBounds) {
    const Regular texts = NumberTexts(bounds, kWhere);
    ForAllTexts("-015.e", 5, [&](const std::string& text) {
      const long double size = std::abs(std::strtold(text.c_str(), nullptr));
      const bool allowed = std::regex_match(text, form) && !(text.starts_with('-') && size == 0) &&
                           IsWithin(text, bounds) && (size == 0 || (size >= 1e-307L && size < 1e308L));
      ASSERT_EQ(texts.Matches(text), allowed) << text << " of " << &bounds - kBounds.data();
    });
  }
}

TEST(IntegerTexts, AreAllWithinTheBoundsAndNoOthers) {
  for (const NumberBounds& bounds : kBounds) {
    const Regular texts = IntegerTexts(bounds, kWhere);
    for (int i = -600; i <= 6000; ++i)
      ASSERT_EQ(texts.Matches(std::to_string(i)), IsWithin(std::to_string(i), bounds)) << i;
    for (const char* text : {"", "-", "01", "-0", "+1", "1.0", " 1", "1e1", "00"})
      EXPECT_FALSE(texts.Matches(text)) << text;
  }
}

TEST(NumberTexts, AreMultiples) {
  for (const char* multiple_of :
       {"1", "2", "5", "10", "50", "100", "1.5", "0.5", "0.05", "0.01", "0.15", "5.1"}) {
    for (const NumberBounds& range : {NumberBounds{}, {.minimum = "-5.5", .maximum = "105"}}) {
      NumberBounds bounds = range;
      bounds.multiple_of = multiple_of;
      const std::regex form("-?(?:0|[1-9]\\d*)(?:\\.\\d+)?");
      const Regular numbers = NumberTexts(bounds, kWhere);
      const Regular integers = IntegerTexts(bounds, kWhere);
      ForAllTexts("-015.", 5, [&](const std::string& text) {
        const bool is_form =
            std::regex_match(text, form) && !(text.starts_with('-') && text.find_first_of("15") == text.npos);
        const bool allowed = is_form && IsWithin(text, bounds);
        ASSERT_EQ(numbers.Matches(text), allowed) << text << " of " << multiple_of;
        ASSERT_EQ(integers.Matches(text), allowed && text.find('.') == text.npos)
            << text << " of " << multiple_of;
      });
    }
  }
}

TEST(IntegerTexts, HaveBoundsOfAnySize) {
  const auto allows = [](const NumberBounds& bounds, const char* text) {
    return IntegerTexts(bounds, kWhere).Matches(text);
  };
  const NumberBounds from = {.minimum = "10000000000000000000"};
  EXPECT_TRUE(allows(from, "10000000000000000000"));
  EXPECT_TRUE(allows(from, "999999999999999999999"));
  EXPECT_FALSE(allows(from, "9999999999999999999"));
  EXPECT_TRUE(allows({.minimum = "1e19"}, "10000000000000000001"));
  EXPECT_FALSE(allows({.exclusive_minimum = "1e19"}, "10000000000000000000"));
  const NumberBounds of_128_bits = {.minimum = "-170141183460469231731687303715884105728",
                                    .maximum = "340282366920938463463374607431768211455"};
  EXPECT_TRUE(allows(of_128_bits, "-170141183460469231731687303715884105728"));
  EXPECT_FALSE(allows(of_128_bits, "-170141183460469231731687303715884105729"));
  EXPECT_TRUE(allows(of_128_bits, "340282366920938463463374607431768211455"));
  EXPECT_FALSE(allows(of_128_bits, "340282366920938463463374607431768211456"));
  EXPECT_TRUE(allows({.maximum = "9007199254740991"}, "9007199254740991"));
  EXPECT_FALSE(allows({.maximum = "9007199254740991"}, "9007199254740992"));
  EXPECT_TRUE(allows({.maximum = "1.7976931348623157e308"}, "999999999999999999"));
  EXPECT_TRUE(allows({.minimum = "1e300"}, ("1" + std::string(300, '0')).c_str()));
  EXPECT_FALSE(allows({}, "1000000000000000000"));  // 19 digits without a bound that asks for them
  EXPECT_TRUE(IntegerTexts({.minimum = "0.1", .maximum = "0.9"}, kWhere).Empty());
  EXPECT_TRUE(IntegerTexts({.minimum = "2", .maximum = "1"}, kWhere).Empty());
  EXPECT_TRUE(NumberTexts({.exclusive_minimum = "0", .maximum = "0"}, kWhere).Empty());
}

TEST(NumberTexts, ReachDoublesAtTheEnds) {
  const auto allows = [](const NumberBounds& bounds, const char* text) {
    return NumberTexts(bounds, kWhere).Matches(text);
  };
  for (const char* text : {"1.7976931348623157e+307", "-2.2250738585072014E-307", "0.30000000000000004",
                           "1e-05", "123456789012345.678", "9007199254740993", "3.14159e0"}) {
    EXPECT_TRUE(allows({}, text)) << text;
  }
  EXPECT_FALSE(allows({}, "1e308"));
  EXPECT_FALSE(allows({}, "1e-308"));
  EXPECT_TRUE(allows({.exclusive_minimum = "0"}, "1e-307"));
  EXPECT_TRUE(allows({.minimum = "1e19"}, "1e19"));
  EXPECT_FALSE(allows({.minimum = "1.5e19"}, "1.4999e19"));
  EXPECT_TRUE(allows({.minimum = "1.5e19"}, "1.5e+19"));
  const NumberBounds narrow = {.exclusive_minimum = "0.12345678901234567890",
                               .exclusive_maximum = "0.1234567890123456790"};
  EXPECT_FALSE(NumberTexts(narrow, kWhere).Empty());
  EXPECT_TRUE(allows({.minimum = "2.5e-200", .maximum = "2.5e-200"}, "2.5e-200"));
}

TEST(NumberTexts, DoNotRoundToAnExclusiveBound) {
  const Regular below_5 = NumberTexts({.exclusive_maximum = "5"}, kWhere);
  EXPECT_TRUE(below_5.Matches("4.99999999999999"));
  EXPECT_FALSE(below_5.Matches("4.9999999999999999"));
  EXPECT_FALSE(below_5.Matches("4.9999999999999999e0"));
  EXPECT_TRUE(NumberTexts({.maximum = "5"}, kWhere).Matches("4.9999999999999999"));
  EXPECT_TRUE(NumberTexts({.exclusive_minimum = "0"}, kWhere).Matches("0.12345678901234567"));
}

TEST(NumberTexts, RefuseWithTheKeyword) {
  const auto error_of = [](const NumberBounds& bounds) -> std::string {
    try {
      IntegerTexts(bounds, kWhere);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(error_of({.minimum = "01"}), HasSubstr("#/a/minimum must be a number"));
  EXPECT_THAT(error_of({.maximum = "\"5\""}), HasSubstr("#/a/maximum must be a number"));
  EXPECT_THAT(error_of({.exclusive_minimum = "1e99999999999999999999"}),
              HasSubstr("#/a/exclusiveMinimum has more than"));
  EXPECT_THAT(error_of({.multiple_of = "0"}), HasSubstr("#/a/multipleOf must be above 0"));
  EXPECT_THAT(error_of({.multiple_of = "-2"}), HasSubstr("#/a/multipleOf must be above 0"));
  EXPECT_THAT(error_of({.multiple_of = "99991"}), HasSubstr("#/a/multipleOf needs more than"));
  EXPECT_THAT(error_of({.multiple_of = "1234567"}), HasSubstr("#/a/multipleOf needs more than"));
  EXPECT_THAT(error_of({.multiple_of = "9973"}), HasSubstr("#/a/multipleOf needs more than"));
  EXPECT_EQ(error_of({.minimum = "0", .maximum = "99999", .multiple_of = "9973"}), "no error");
  for (const char* multiple_of : {"1000000000000", "3600", "0.0001", "1024"})
    EXPECT_EQ(error_of({.multiple_of = multiple_of}), "no error") << multiple_of;
}

TEST(Decimal, ParsesAndCompares) {
  const auto parse = [](const char* json) { return ParseDecimal(json, "x"); };
  EXPECT_EQ(parse("-0.0e5"), parse("0"));
  EXPECT_EQ(parse("12.50"), parse("1250e-2"));
  EXPECT_EQ(parse("0.005").FractionDigits(), "005");
  EXPECT_EQ(parse("1.5e3").WholeDigits(), "1500");
  const std::vector<const char*> ascending = {"-1e19", "-12", "-1.5", "-0.01", "0", "0.009", "0.01",
                                              "0.1",   "1",   "1.05", "1.5",   "2", "10",    "1e999"};
  for (size_t i = 0; i < ascending.size(); ++i) {
    for (size_t j = 0; j < ascending.size(); ++j)
      EXPECT_EQ(parse(ascending[i]) <=> parse(ascending[j]), i <=> j) << ascending[i] << " " << ascending[j];
  }
  for (const char* json : {"", "-", ".5", "5.", "1e", "1e+", "0x1", "1 ", "+1", "NaN", "00"})
    EXPECT_THROW(parse(json), Error) << json;
}

}  // namespace
}  // namespace throng::llm
