// Walks over the table of features: what works is done with a random model, what is refused is tried.
#include "engine/features.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "base/error.h"
#include "base/mapped_file.h"
#include "engine/testing/purity_rig.h"
#include "kv/cache/page_file.h"
#include "kv/testing/random_rows.h"

namespace throng::engine {
namespace {

constexpr int kPrompt = 100;
constexpr int kAnswer = 35;  // past the end of the second block

std::vector<int32_t> RandomTokens(int count, uint64_t seed) {
  CounterRng rng(seed, 5);
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (int32_t& token : tokens) token = static_cast<int32_t>(rng.NextBelow(64));
  return tokens;
}

Question Ask(uint64_t seed) { return {.prompt = RandomTokens(kPrompt, seed), .max_tokens = kAnswer}; }

class FeatureTest : public testing::TestWithParam<std::string> {
 protected:
  // flashq-mixed names the bits here that the engine chooses else.
  std::string Codec() const {
    return kv::LacksHeadBits(GetParam()) ? kv::WithHeadBits(GetParam(), "24") : GetParam();
  }

  void UseModel(const TinyModel& shape) {
    rig_.reset();
    bytes_ = TinyModelBytes(shape);
    file_.emplace(bytes_, "tiny");
    transformer_ = model::LoadTransformer(*file_);
  }
  PurityRig& Rig(const Conditions& conditions = {}) { return RigOf(Codec(), conditions); }
  PurityRig& RigOf(const std::string& codec, const Conditions& conditions = {}) {
    rig_.reset();
    rig_ = std::make_unique<PurityRig>(*transformer_, codec, conditions);
    return *rig_;
  }

  // With this model the answer does not depend on chunks, and is near to that of an exact cache.
  void ExpectGoodAnswer(const Conditions& conditions = {}) {
    const Answer answer = Rig(conditions).Ask(Ask(1));
    Conditions whole = conditions;
    whole.chunk_tokens = 200;
    ASSERT_NO_FATAL_FAILURE(ExpectSame(Rig(whole).Ask(Ask(1)), answer));
    const Answer exact = RigOf("f32").Ask(Ask(1));
    const double error = kv::RelativeError(answer.logits[0], exact.logits[0]);
    EXPECT_LE(error, Codec() == "f32" && conditions.softmax == kv::SoftmaxKind::kExact ? 0 : 0.5);
  }

  void Try(Feature feature);
  void Works(Feature feature);
  void ThePrefixCache();
  void Batches();
  void Forks();
  void Files();
  void Spilling();

  std::string Folder() const { return testing::TempDir(); }

  std::vector<uint8_t> bytes_;
  std::optional<model::GgufFile> file_;
  std::unique_ptr<model::Transformer> transformer_;
  std::unique_ptr<PurityRig> rig_;
};

void FeatureTest::ThePrefixCache() {
  const Answer alone = Rig().Ask(Ask(1));
  PurityRig& rig = Rig({.prefix_cache = true});
  rig.Ask(Ask(1));
  const Answer again = rig.Ask(Ask(1));
  EXPECT_EQ(again.result.cached_prompt_tokens, 64);
  ExpectSame(again, alone);
}

void FeatureTest::Batches() {
  const Answer alone = Rig().Ask(Ask(1));
  ExpectSame(Rig({.chunk_tokens = 33}).Ask(std::vector{Ask(2), Ask(1), Ask(3)})[1], alone);
}

// Several go on from the pages of one, each cutting them elsewhere: in the open block, at its border, in a
// sealed block, and where nothing is left.
void FeatureTest::Forks() {
  Question first = Ask(1);
  const Answer whole = Rig().Ask(first);
  std::vector<int32_t> tokens = first.prompt;
  tokens.insert(tokens.end(), whole.result.tokens.begin(), whole.result.tokens.end());
  std::vector<Question> questions;
  std::vector<Answer> alone;
  for (const int same : {132, 128, 100, 0}) {
    Question question = Ask(2);
    std::copy(tokens.begin(), tokens.begin() + std::min(same, kPrompt), question.prompt.begin());
    if (same > kPrompt) {
      question.prompt.assign(tokens.begin(), tokens.begin() + same);
      question.prompt.push_back((tokens[static_cast<size_t>(same)] + 1) % 64);
    }
    question.max_tokens = 5;
    alone.push_back(Rig().Ask(question));
    questions.push_back(question);
  }
  PurityRig& rig = Rig();
  first.keep_pages = true;
  const auto pages = rig.Ask(first).result.pages;
  ASSERT_NE(pages, nullptr);
  ASSERT_EQ(pages->tokens, tokens);
  ASSERT_EQ(pages->cache.NumTokens(), kPrompt + kAnswer - 1);
  for (Question& question : questions) question.start = pages;
  std::vector<Answer> answers = rig.Ask(questions);
  const std::vector<int> reused = {132, 128, 64, 0};
  for (size_t i = 0; i < answers.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(answers[i].result.cached_prompt_tokens, reused[i]);
    ASSERT_NO_FATAL_FAILURE(ExpectSame(answers[i], alone[i]));
  }
  // Whoever goes on leaves the pages as they were.
  questions[0].start = nullptr;
  rig.Ask(questions);
  ASSERT_NO_FATAL_FAILURE(ExpectSame(rig.Ask(questions[1]), alone[1]));
}

void FeatureTest::Files() {
  const std::string path = Folder() + "feature_pages_" + std::to_string(getpid());
  const kv::PageSource source{transformer_->WeightsDigest(), "softmax=exact"};
  Question question = Ask(1);
  question.keep_pages = true;
  {
    const auto pages = Rig().Ask(question).result.pages;
    kv::SavePages(path, source, pages->tokens, pages->cache);
  }
  PurityRig& rig = Rig();
  const auto pages = std::make_shared<kv::SavedPages>(kv::LoadPages(path, source, rig.Blocks()));
  std::filesystem::remove(path);
  Question next{.prompt = pages->tokens, .max_tokens = 70};
  const Answer alone = rig.Ask(next);
  EXPECT_EQ(alone.result.cached_prompt_tokens, 0);
  next.start = pages;
  const Answer restored = rig.Ask(next);
  EXPECT_EQ(restored.result.cached_prompt_tokens, kPrompt + kAnswer - 1);
  ExpectSame(restored, alone);
}

void FeatureTest::Spilling() {
  Question question = Ask(1);
  const Answer alone = Rig().Ask(question);
  PurityRig& rig = Rig({.prefix_cache = true, .budget_tokens = 140, .spill_folder = Folder()});
  ExpectSame(rig.Ask(question), alone);
  for (uint64_t seed = 2; seed < 12; ++seed) rig.Ask(Ask(seed));
  const double restored = rig.Metric("throng_restored_blocks_total");
  const Answer again = rig.Ask(question);
  EXPECT_EQ(again.result.cached_prompt_tokens, 64);
  ExpectSame(again, alone);
  // The loop publishes its numbers after the answer.
  rig.Ask(Ask(20));
  EXPECT_GT(rig.Metric("throng_restored_blocks_total"), restored);
}

void FeatureTest::Works(Feature feature) {
  switch (feature) {
    case Feature::kPrefixCache:
      return ThePrefixCache();
    case Feature::kBatch:
      return Batches();
    case Feature::kChunkedPrefill:
      return ExpectGoodAnswer({.chunk_tokens = 7});
    case Feature::kGqa:
      for (const int kv_heads : {1, 4}) {
        UseModel({.kv_heads = kv_heads});
        ASSERT_NO_FATAL_FAILURE(ExpectGoodAnswer());
      }
      return;
    case Feature::kSlidingWindow:
      for (const int window : {20, 80}) {
        UseModel({.window = window});
        ASSERT_NO_FATAL_FAILURE(ExpectGoodAnswer());
      }
      return;
    case Feature::kSas:
      return ExpectGoodAnswer({.softmax = kv::SoftmaxKind::kSas});
    case Feature::kFork:
      return Forks();
    case Feature::kSaveAndLoad:
      return Files();
    case Feature::kSpill:
      return Spilling();
    case Feature::kSpillAlone:
      Rig({.spill_folder = Folder()});
      return;
    default:
      break;
  }
  const std::vector<std::pair<Feature, std::vector<int>>> sizes = {
      {Feature::kHead64, {64}},   {Feature::kHead80, {80}},   {Feature::kHead96, {96}},
      {Feature::kHead128, {128}}, {Feature::kHead256, {256}}, {Feature::kOddHead, {100, 264}}};
  for (const auto& [of, head_dims] : sizes) {
    if (of != feature) continue;
    for (const int head_dim : head_dims) {
      UseModel({.type = model::TensorType::kF32, .head_dim = head_dim});
      ASSERT_NO_FATAL_FAILURE(ExpectGoodAnswer());
    }
  }
}

void FeatureTest::Try(Feature feature) {
  UseModel({});
  const char* refusal = Refusal(GetParam(), feature);
  if (refusal == nullptr) return Works(feature);
  try {
    Works(feature);
    ADD_FAILURE() << "it is not refused";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(refusal), std::string::npos) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
  }
}

TEST_P(FeatureTest, WorksOrIsRefusedAsTheTableSays) {
  for (const FeatureLine& line : FeatureLines()) {
    SCOPED_TRACE(line.name);
    ASSERT_NO_FATAL_FAILURE(Try(line.feature));
  }
}

INSTANTIATE_TEST_SUITE_P(All, FeatureTest, testing::ValuesIn(FeatureCodecs()), [](const auto& info) {
  std::string name = info.param;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
});

TEST(FeatureTableTest, IsInTheReadme) {
  const std::string readme = ReadFile(std::string(THRONG_SOURCE_DIR) + "/README.md");
  EXPECT_NE(readme.find(FeatureTable()), std::string::npos) << FeatureTable();
}

}  // namespace
}  // namespace throng::engine
