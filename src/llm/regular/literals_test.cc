#include "llm/regular/literals.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace throng::llm {
namespace {

rc::Gen<std::string> Letters() {
  return rc::gen::container<std::string>(rc::gen::elementOf(std::string("ab ")));
}

// As a search for each of them says.
RC_GTEST_PROP(TextsWithout, LeavesOutWhatIsFound, ()) {
  const auto literals = *rc::gen::container<std::vector<std::string>>(Letters());
  const Regular texts = TextsWithout(literals);
  for (int i = 0; i < 20; ++i) {
    const std::string text = *Letters();
    bool has_one = false;
    for (const std::string& literal : literals)
      has_one = has_one || (!literal.empty() && text.find(literal) != std::string::npos);
    RC_ASSERT(texts.Matches(text) == !has_one);
  }
}

TEST(TextsWithout, KnowsNoBytesThatAreNoUtf8) {
  EXPECT_TRUE(TextsWithout({"\xf5"}).Matches("any"));
  EXPECT_FALSE(TextsWithout({"\xf5", "ä"}).Matches("aä"));
}

RC_GTEST_PROP(TextsNotBeginning, LooksBehindWhiteSpace, ()) {
  const std::string literal = "a" + *Letters();
  const Regular texts = TextsNotBeginning(literal);
  for (int i = 0; i < 20; ++i) {
    const std::string text = *Letters();
    const size_t begin = std::min(text.find_first_not_of(' '), text.size());
    RC_ASSERT(texts.Matches(text) == !text.substr(begin).starts_with(literal));
  }
}

}  // namespace
}  // namespace throng::llm
