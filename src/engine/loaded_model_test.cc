#include "engine/loaded_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "base/error.h"
#include "engine/sampling/constrain.h"
#include "engine/testing/fake_model.h"
#include "model/testing/tiny_model.h"

namespace throng::engine {
namespace {

TEST(ShouldRepack, CopiesIfThereIsRoomBesideTheCaches) {
  const std::vector<uint8_t> bytes = model::TinyModel{}.Bytes();
  const model::GgufFile file(bytes, "tiny");
  const uint64_t all = std::numeric_limits<uint64_t>::max();
  EXPECT_TRUE(ShouldRepack("auto", file));
  EXPECT_FALSE(ShouldRepack("auto", file, all));
  EXPECT_FALSE(ShouldRepack("auto", file, 0, 100));
  EXPECT_TRUE(ShouldRepack("on", file, all));
  EXPECT_FALSE(ShouldRepack("off", file));
  EXPECT_THROW(ShouldRepack("always", file), Error);
}

// Not the caches' budget, of which the copy would leave nothing.
TEST(ShouldRepack, NamesTheCopyThatHasNoRoom) {
  const std::vector<uint8_t> bytes = model::TinyModel{}.Bytes();
  const model::GgufFile file(bytes, "tiny");
  try {
    ShouldRepack("on", file, 0, 2000);
    FAIL() << "was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.Code(), ErrorCode::kExhausted);
    EXPECT_THAT(
        error.what(),
        testing::MatchesRegex(
            ".*repack on copies .* of weights, and 2.0 kB of memory are free: .*repack auto or off.*"));
  }
  EXPECT_FALSE(ShouldRepack("off", file, 0, 2000));
}

// The tokens that mark calls and thoughts are told apart from all text.
TEST(LoadedModel, SpellsTheTokensOfAnswersAsMarks) {
  const LoadedModel model =
      FakeModel("{{ tools }}{{ messages[0].tool_calls }}<tool_call></think>", 0, {"<tool_call>", "</think>"});
  const llm::AnswerFormat format = model.Answers();
  EXPECT_EQ(format.name, "Hermes, Qwen");
  ASSERT_EQ(format.tokens.size(), 2u);
  EXPECT_EQ(format.thought_begin, "<think>");  // which the vocabulary does not have
  const auto vocabulary = model.MakeVocabulary(format);
  const auto bytes_of = [&](const char* name) { return vocabulary->Bytes(model.tokenizer->Find(name)); };
  EXPECT_EQ(format.Trigger(), bytes_of("<tool_call>"));
  EXPECT_EQ(format.thought_end, bytes_of("</think>"));
  EXPECT_EQ(format.Shown(format.thought_end), "");
  EXPECT_EQ(format.Named(format.thought_end), "</think>");
  EXPECT_EQ(bytes_of("<0xF5>"), "\xc0");
  EXPECT_EQ(bytes_of("<0x41>"), "A");
  EXPECT_EQ(model.MakeVocabulary()->Bytes(model.tokenizer->Find("<tool_call>")), "");
}

}  // namespace
}  // namespace throng::engine
