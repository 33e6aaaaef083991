#include "model/tokenizer/tokenizer_normalize.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <utf8proc.h>

#include <cstdlib>
#include <vector>

#include "base/text/utf8.h"

namespace throng::model {
namespace {

std::string Apply(Normalizer normalizer, std::string_view text) {
  std::string buffer;
  return std::string(normalizer.Apply(text, buffer));
}

TEST(Normalizer, LeavesTextAloneUnlessAsked) {
  const std::string text = "  e\u0301 \u2581 ";
  std::string buffer;
  EXPECT_EQ(Normalizer{}.Apply(text, buffer).data(), text.data());
  const std::string composed = "caf\u00E9 \u6F22\u5B57 \u2026";
  EXPECT_EQ(Normalizer{.composes = true}.Apply(composed, buffer).data(), composed.data());
}

TEST(Normalizer, ComposesMarksLettersAndSingletons) {
  const auto compose = [](std::string_view text) { return Apply({.composes = true}, text); };
  EXPECT_EQ(compose("xe\u0301\u0323y"), "x\u1EB9\u0301y");  // marks are put in order first
  EXPECT_EQ(compose("\u1100\u1161\u11A8"), "\uAC01");
  EXPECT_EQ(compose("\u2126 \u212B \u0958"), "\u03A9 \u00C5 \u0915\u093C");
  EXPECT_EQ(compose("\uFB01\u00B2"), "\uFB01\u00B2");  // compatibility forms stay
  EXPECT_EQ(compose("e\xFF\u0301"), "e\xFF\u0301");
  EXPECT_EQ(compose("\u0301"), "\u0301");
}

// The parts that are left alone are those that the library would leave alone.
RC_GTEST_PROP(Normalizer, ComposesAsTheLibraryDoesWithTheWholeText, ()) {
  const auto character =
      rc::gen::oneOf(rc::gen::inRange<uint32_t>(0x20, 0x7F), rc::gen::inRange<uint32_t>(0x300, 0x345),
                     rc::gen::inRange<uint32_t>(0x1100, 0x1200), rc::gen::inRange<uint32_t>(0x900, 0xE00),
                     rc::gen::inRange<uint32_t>(0x1E00, 0x3100), rc::gen::inRange<uint32_t>(0xE000, 0x1F000));
  std::string text;
  for (const uint32_t value : *rc::gen::container<std::vector<uint32_t>>(character)) AppendUtf8(value, text);
  utf8proc_uint8_t* expected = utf8proc_NFC(reinterpret_cast<const utf8proc_uint8_t*>(text.c_str()));
  RC_ASSERT(Apply({.composes = true}, text) == reinterpret_cast<const char*>(expected));
  std::free(expected);
}

TEST(Normalizer, SqueezesSpaces) {
  EXPECT_EQ(Apply({.squeezes_spaces = true}, "  a   b\n c "), "a b\n c");
  EXPECT_EQ(Apply({.squeezes_spaces = true}, "   "), "");
}

}  // namespace
}  // namespace throng::model
