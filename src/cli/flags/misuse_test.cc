#include "cli/flags/misuse.h"

#include <gtest/gtest.h>

namespace throng::cli {
namespace {

TEST(DidYouMeanTest, FindsWhatIsMostLikeIt) {
  const std::vector<std::string> flags = {"--steps",    "--step-tokens",      "--seed",
                                          "--scenario", "--max-tokens-total", "-m"};
  EXPECT_EQ(DidYouMean("--stesp", flags), ", did you mean --steps?");
  EXPECT_EQ(DidYouMean("--steps", flags), ", did you mean --steps?");
  EXPECT_EQ(DidYouMean("--sead", flags), ", did you mean --seed?");
  EXPECT_EQ(DidYouMean("--senario", flags), ", did you mean --scenario?");
  EXPECT_EQ(DidYouMean("--max-tokens", flags), ", did you mean --max-tokens-total?");
  EXPECT_EQ(DidYouMean("-steps", flags), ", did you mean --steps?");
}

TEST(DidYouMeanTest, SaysNothingOfWhatIsLikeNoName) {
  EXPECT_EQ(DidYouMean("--nonsense", {"--steps", "--seed", "--json"}), "");
  EXPECT_EQ(DidYouMean("fly", {"run", "eval"}), "");
  EXPECT_EQ(DidYouMean("", {"run"}), "");
  EXPECT_EQ(DidYouMean("--", {"--seed"}), "");
}

}  // namespace
}  // namespace throng::cli
