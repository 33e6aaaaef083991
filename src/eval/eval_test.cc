#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/rng.h"
#include "base/thread_pool.h"
#include "engine/local_llm.h"
#include "eval/compose.h"
#include "eval/divergence.h"
#include "eval/dump.h"
#include "eval/plot.h"
#include "eval/recall.h"
#include "eval/statistics.h"
#include "kv/codec_table.h"
#include "kv/softmax_kind.h"
#include "model/config.h"

namespace throng::eval {
namespace {

const std::string kModel = std::string(THRONG_SHARED_DIR) + "/models/stories260K.gguf";

std::vector<int32_t> SomeText(size_t size) {
  std::vector<int32_t> text(size);
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<int32_t>(260 + i * 37 % 200);
  return text;
}

TEST(DivergenceTest, F32AgreesWithItselfAndCodecsDriftByTheirBits) {
  if (!std::filesystem::exists(kModel)) GTEST_SKIP() << kModel << " is missing";
  const engine::LoadedModel model = engine::LoadModel(kModel);
  const std::vector<int32_t> text = SomeText(200);
  ThreadPool threads(2);
  EvalOptions options;
  options.codecs = {"f32", "int8", "rot2", "int8+rot2", "rot2:recent=64"};
  size_t calls = 0;
  options.progress = [&calls](size_t done, size_t total) { calls += done == total; };
  const auto results = MeasureDivergence(model, {&text, 1}, options, threads);
  EXPECT_EQ(calls, 1u);
  ASSERT_EQ(results.size(), 6u);
  for (const size_t exact : {0u, 1u}) {
    EXPECT_EQ(results[exact].divergence.positions, 200u - 64 - 1);
    EXPECT_EQ(results[exact].divergence.kl_mean, 0.0);
    EXPECT_EQ(results[exact].divergence.kl_p99, 0.0);
    EXPECT_EQ(results[exact].divergence.top1, 1.0);
    EXPECT_DOUBLE_EQ(results[exact].sizes.ratio_to_f16, 0.5);
    EXPECT_DOUBLE_EQ(results[exact].sizes.bits, 32.0);
  }
  const Divergence& int8 = results[2].divergence;
  const Divergence& rot2 = results[3].divergence;
  EXPECT_GT(int8.kl_mean, 0.0);
  EXPECT_LT(int8.kl_mean, 0.01);
  EXPECT_GT(int8.kl_p99, int8.kl_mean);
  EXPECT_NEAR(int8.ppl / results[0].divergence.ppl, 1.0, 0.05);
  EXPECT_GT(rot2.kl_mean, int8.kl_mean);
  EXPECT_GT(results[3].sizes.ratio_to_f16, results[2].sizes.ratio_to_f16);
  EXPECT_NEAR(results[4].sizes.bits, (results[2].sizes.bits + results[3].sizes.bits) / 2, 1e-9);
  EXPECT_LT(results[4].divergence.kl_mean, rot2.kl_mean);
  // Of three pages, all are in rot2, and one in int8, too.
  EXPECT_NEAR(results[5].sizes.bits, results[3].sizes.bits + results[2].sizes.bits / 3, 1e-9);
  EXPECT_LT(results[5].divergence.kl_mean, rot2.kl_mean);
  EXPECT_GT(results[5].divergence.kl_mean, int8.kl_mean);
}

// With and without their means, keys are other numbers, with other errors.
TEST(DivergenceTest, ErrorsAreOfTheKeysThatAreStored) {
  const engine::LoadedModel model = engine::LoadModel(std::string(THRONG_SOURCE_DIR) + "/town/model.gguf");
  std::vector<int32_t> text(130);
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<int32_t>(260 + i * 37 % 2000);
  ThreadPool threads(1);
  EvalOptions options;
  options.codecs = {"rot4", "rot4:bias=mean", "rot4:bias=off"};
  const auto results = MeasureDivergence(model, {&text, 1}, options, threads);
  const auto keys = [&](size_t i) { return results[i].divergence.error_keys; };
  EXPECT_EQ(keys(0), 0.0);
  EXPECT_GT(keys(1), 0.01);
  EXPECT_NE(keys(1), keys(2));
  EXPECT_EQ(keys(1), keys(3));  // the model has no bias
  EXPECT_EQ(results[1].divergence.error_values, results[3].divergence.error_values);
  EXPECT_LT(results[2].divergence.kl_mean, results[1].divergence.kl_mean);
}

TEST(DivergenceTest, SasAloneMovesPredictionsALittle) {
  if (!std::filesystem::exists(kModel)) GTEST_SKIP() << kModel << " is missing";
  const engine::LoadedModel model = engine::LoadModel(kModel);
  const std::vector<int32_t> text = SomeText(150);
  ThreadPool threads(1);
  EvalOptions options;
  options.codecs = {"f32"};
  options.softmax = kv::SoftmaxKind::kSas;
  const auto results = MeasureDivergence(model, {&text, 1}, options, threads);
  EXPECT_EQ(results[0].divergence.kl_mean, 0.0);
  EXPECT_GT(results[1].divergence.kl_mean, 0.0);
  EXPECT_LT(results[1].divergence.kl_mean, 0.01);
}

TEST(DivergenceTest, TextsThatTheModelCannotReadAreRefused) {
  if (!std::filesystem::exists(kModel)) GTEST_SKIP() << kModel << " is missing";
  const engine::LoadedModel model = engine::LoadModel(kModel);
  const auto context = static_cast<size_t>(model.transformer->Config().context_length);
  ThreadPool threads(2);
  Comparison comparison(model, {.codecs = {"int8"}}, threads);
  EXPECT_THROW(comparison.Read({}), Error);
  EXPECT_THROW(comparison.Read(SomeText(context + 1)), Error);
  comparison.Read(SomeText(context));
  EXPECT_EQ(comparison.Result(1).positions, context - 64 - 1);
}

TEST(DivergenceTest, TextsWithoutSealedPagesAndUnknownCodecsAreRefused) {
  if (!std::filesystem::exists(kModel)) GTEST_SKIP() << kModel << " is missing";
  const engine::LoadedModel model = engine::LoadModel(kModel);
  const std::vector<int32_t> text(64, 300);
  ThreadPool threads(1);
  EvalOptions options;
  options.codecs = {"int8"};
  EXPECT_THROW(MeasureDivergence(model, {&text, 1}, options, threads), Error);
  options.codecs = {"int8+nothing"};
  EXPECT_THROW(MeasureDivergence(model, {&text, 1}, options, threads), Error);
}

TEST(WindowsTest, EveryPositionCountsOnceInTheFirstWindowThatHasIt) {
  for (const auto& [tokens, context, stride] : std::vector<std::array<size_t, 3>>{
           {1000, 200, 100}, {1001, 200, 100}, {300, 300, 150}, {299, 300, 1}, {1000, 256, 192}}) {
    std::vector<int> compared(tokens);
    for (const Window& window : WindowsOf(tokens, context, stride)) {
      EXPECT_LE(window.size, context);
      ASSERT_LE(window.begin + window.size, tokens);
      for (size_t i = window.first_compared; i + 1 < window.size; ++i) ++compared[window.begin + i];
    }
    // The last position has nothing that follows.
    EXPECT_EQ(std::count(compared.begin(), compared.end() - 1, 1), static_cast<long>(tokens) - 1)
        << tokens << " " << context << " " << stride;
    EXPECT_EQ(compared.back(), 0);
  }
  EXPECT_TRUE(WindowsOf(65, 200, 100).empty());
  EXPECT_TRUE(WindowsOf(0, 200, 100).empty());
}

TEST(DivergenceTest, ALongTextIsReadToItsEnd) {
  if (!std::filesystem::exists(kModel)) GTEST_SKIP() << kModel << " is missing";
  const engine::LoadedModel model = engine::LoadModel(kModel);
  const std::vector<int32_t> text = SomeText(1000);
  ThreadPool threads(2);
  EvalOptions options;
  options.codecs = {"int8"};
  options.context = 256;
  options.stride = 128;
  size_t windows = 0;
  options.progress = [&windows](size_t, size_t total) { windows = total; };
  const Divergence whole = MeasureDivergence(model, {&text, 1}, options, threads)[1].divergence;
  EXPECT_EQ(windows, 7u);  // 0, 128, ... 768: the last one ends at 1000
  EXPECT_EQ(whole.positions, 1000u - 64 - 1);
  ASSERT_EQ(whole.bands.size(), 2u);
  EXPECT_EQ(whole.bands[0].from, 64);
  EXPECT_EQ(whole.bands[1].from, 128);
  EXPECT_EQ(whole.bands[0].positions, 63u);
  EXPECT_EQ(whole.bands[0].positions + whole.bands[1].positions, whole.positions);
  EXPECT_NEAR((whole.bands[0].kl_mean * 63 + whole.bands[1].kl_mean * 872) / 935, whole.kl_mean, 1e-12);
  // What comes after the first window counts.
  const std::vector<int32_t> begin(text.begin(), text.begin() + 256);
  EXPECT_NE(MeasureDivergence(model, {&begin, 1}, options, threads)[0].divergence.ppl,
            MeasureDivergence(model, {&text, 1}, options, threads)[0].divergence.ppl);
}

// Heads that rest on BOS would have to rest elsewhere in windows that begin in the middle of a text.
TEST(DivergenceTest, EachWindowBeginsWithBos) {
  if (!std::filesystem::exists(kModel)) GTEST_SKIP() << kModel << " is missing";
  const engine::LoadedModel model = engine::LoadModel(kModel);
  ASSERT_TRUE(model.tokenizer->AddsBos());
  ThreadPool threads(1);
  EvalOptions options;
  options.codecs = {"rot2"};
  options.context = options.stride = 128;
  std::vector<int32_t> text = SomeText(256);
  const Divergence before = MeasureDivergence(model, {&text, 1}, options, threads)[1].divergence;
  text[128] = text[128] == 300 ? 301 : 300;  // the first token of the second window, and in no other
  EXPECT_EQ(MeasureDivergence(model, {&text, 1}, options, threads)[1].divergence.kl_mean, before.kl_mean);
}

TEST(DivergenceTest, WindowsThatDoNotFitTheModelAreRefused) {
  if (!std::filesystem::exists(kModel)) GTEST_SKIP() << kModel << " is missing";
  const engine::LoadedModel model = engine::LoadModel(kModel);
  const std::vector<int32_t> text = SomeText(200);
  ThreadPool threads(1);
  for (const auto& [context, stride] :
       std::vector<std::pair<int, int>>{{65, 0}, {1 << 20, 0}, {128, 129}, {128, -1}, {-5, 0}}) {
    EvalOptions options;
    options.codecs = {"int8"};
    options.context = context;
    options.stride = stride;
    EXPECT_THROW(MeasureDivergence(model, {&text, 1}, options, threads), Error) << context << " " << stride;
  }
}

std::vector<Question> SomeQuestions() {
  std::vector<Question> questions;
  for (int i = 0; i < 4; ++i) {
    std::string prompt;
    for (int j = 0; j < 25; ++j) prompt += "Tom and Lily went to the park. ";
    questions.push_back({prompt + "They saw a", {" dog", " cat", " bird"}, " dog", 60 * i});
  }
  return questions;
}

TEST(RecallTest, F32LosesNothingToItself) {
  if (!std::filesystem::exists(kModel)) GTEST_SKIP() << kModel << " is missing";
  const engine::LoadedModel model = engine::LoadModel(kModel);
  ThreadPool threads(2);
  EvalOptions options;
  options.codecs = {"f32", "int8"};
  const auto results = MeasureRecall(model, SomeQuestions(), options, threads);
  ASSERT_EQ(results.size(), 3u);
  const Recall& same = results[1].recall;
  EXPECT_EQ(same.lost + same.gained, 0);
  EXPECT_EQ(same.difference, 0.0);
  EXPECT_EQ(same.mcnemar_p, 1.0);
  EXPECT_EQ(same.answer_length_ratio, 1.0);
  EXPECT_EQ(same.answer_length_changed, 0.0);
  EXPECT_GT(same.answer_tokens, 0.0);
  EXPECT_EQ(results[2].recall.depths[0].questions, 2);  // distances 0 and 60
  EXPECT_EQ(results[2].recall.depths[1].questions, 1);
  EXPECT_EQ(results[2].recall.depths[2].questions, 1);
}

// The engine, with all questions in one batch, gives the same answers.
TEST(RecallTest, AnswersAreTheEngines) {
  if (!std::filesystem::exists(kModel)) GTEST_SKIP() << kModel << " is missing";
  const std::vector<Question> questions = SomeQuestions();
  engine::LocalOptions local;
  local.model = kModel;
  local.kv = "rot2";
  local.kv_budget_bytes = 64 << 20;
  int right = 0;
  {
    engine::LocalLlm llm(std::make_shared<engine::LocalModel>(local));
    uint64_t id = 0;
    for (const Question& question : questions) {
      llm::Request request;
      request.id = ++id;
      request.prompt = question.prompt;
      request.max_tokens = 8;
      request.constraint.choices = question.choices;
      llm.Submit(std::move(request));
    }
    std::vector<llm::Completion> done;
    while (done.size() < questions.size()) llm.Wait(done, 1.0);
    for (const llm::Completion& completion : done) right += completion.text == " dog";
  }
  const engine::LoadedModel model = engine::LoadModel(kModel);
  ThreadPool threads(1);
  EvalOptions options;
  options.codecs = {"rot2"};
  EXPECT_EQ(MeasureRecall(model, questions, options, threads)[1].recall.accuracy, right / 4.0);
}

TEST(RecallTest, AQuestionLongerThanTheContextIsRefused) {
  if (!std::filesystem::exists(kModel)) GTEST_SKIP() << kModel << " is missing";
  const engine::LoadedModel model = engine::LoadModel(kModel);
  std::string prompt;
  for (int i = 0; i < 2000; ++i) prompt += "They went to the park. ";
  const std::vector<Question> questions = {{prompt, {" dog", " cat"}, " dog", 0}};
  ThreadPool threads(1);
  EvalOptions options;
  options.codecs = {"f16"};
  EXPECT_THROW(MeasureRecall(model, questions, options, threads), Error);
}

TEST(QuestionsTest, ABadLineIsNamedAndNearAnswersAreLeftOut) {
  const std::string path = testing::TempDir() + "/questions.jsonl";
  std::ofstream(path) << R"({"prompt":"p","choices":["a"],"answer":"a","distance":3})"
                      << "\n"
                      << R"({"prompt":"q","choices":["a"],"answer":"a","distance":130})"
                      << "\n{}\n";
  EXPECT_EQ(ReadQuestions(path, 1).size(), 1u);
  EXPECT_EQ(ReadQuestions(path, 1, 128)[0].prompt, "q");
  try {
    ReadQuestions(path, 0);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(":3:"), std::string::npos) << error.what();
  }
  EXPECT_THROW(ReadQuestions(path + ".missing", 0), Error);
}

TEST(QuestionsTest, TheCommittedFarOnesAreWhatTheGatesNeed) {
  const auto questions = ReadQuestions(std::string(THRONG_SOURCE_DIR) + "/town/eval/recall_far.jsonl.gz", 0);
  EXPECT_GE(questions.size(), 2000u);
  for (const Question& question : questions) {
    EXPECT_GE(question.distance, 2 * kv::kPageTokens);
    EXPECT_GE(question.choices.size(), 8u);
    EXPECT_NE(std::find(question.choices.begin(), question.choices.end(), question.answer),
              question.choices.end());
  }
}

TEST(StatisticsTest, IntervalsAndTestsAreTheTextbooks) {
  const Interval wilson = WilsonInterval(95, 100);  // 0.888 to 0.978
  EXPECT_NEAR(wilson.low, 0.8882, 1e-4);
  EXPECT_NEAR(wilson.high, 0.9785, 1e-4);
  EXPECT_EQ(WilsonInterval(0, 0).high, 1.0);
  EXPECT_NEAR(McNemarP(10, 2), 2.0 * (1 + 12 + 66) / 4096, 1e-12);
  EXPECT_EQ(McNemarP(0, 0), 1.0);
  EXPECT_EQ(McNemarP(5, 5), 1.0);
  EXPECT_LT(McNemarP(2000, 100), 1e-100);
  const Interval paired = PairedInterval(20, 10, 2000);
  EXPECT_LT(paired.low, -0.005);
  EXPECT_GT(paired.high, -0.005);
  EXPECT_NEAR(paired.high - paired.low, 2 * 1.96 * std::sqrt(31.0) / 2002, 1e-5);
}

std::vector<float> Noise(size_t size) {
  std::vector<float> block(size);
  for (size_t i = 0; i < size; ++i) {
    CounterRng rng(7, i);
    block[i] = static_cast<float>(rng.NextDouble() + rng.NextDouble() + rng.NextDouble() - 1.5);
  }
  return block;
}

double ErrorOf(const kv::Codec& codec, kv::Part part, const std::vector<float>& block) {
  std::vector<uint8_t> encoded(codec.Bytes(part) + 64);
  uint8_t* const aligned = encoded.data() + (64 - reinterpret_cast<uintptr_t>(encoded.data()) % 64) % 64;
  std::vector<float> decoded(block.size());
  codec.Encode(part, block.data(), aligned);
  codec.Decode(part, aligned, decoded.data());
  double error = 0.0, norm = 0.0;
  for (size_t i = 0; i < block.size(); ++i) {
    error += (decoded[i] - block[i]) * (decoded[i] - block[i]);
    norm += block[i] * block[i];
  }
  return std::sqrt(error / norm);
}

// The study's codec equals the shipped ones where both exist: GEAR as published.
TEST(ComposeTest, IsTheTablesCodecsInBytesAndErrors) {
  const std::vector<float> block = Noise(64 * 64);
  for (const auto& [composed, real] :
       std::vector<std::pair<const char*, const char*>>{{"compose:b=2", "kivi2"},
                                                        {"compose:b=3,g=32", "kivi3:g=32"},
                                                        {"compose:b=4", "kivi4"},
                                                        {"compose:b=2,r=4", "gearl2:rounds=0"},
                                                        {"compose:b=2,r=2,s=1%", "gear2:rounds=0"}}) {
    const auto compose = ParseCompose(composed, 64);
    const auto codec = kv::ParseCodec(real, 64);
    for (const kv::Part part : {kv::Part::kKeys, kv::Part::kValues}) {
      EXPECT_NEAR(compose->Bits(part), 8.0 * codec->Bytes(part) / (64 * 64), 1e-9) << composed;
      EXPECT_NEAR(ErrorOf(*compose, part, block) / ErrorOf(*codec, part, block), 1.0, 0.01) << composed;
    }
  }
}

TEST(ComposeTest, EachPartReducesTheErrorWhereItShould) {
  std::vector<float> block = Noise(64 * 80);
  const auto error = [&block](const char* spec) {
    return ErrorOf(*ParseCompose(spec, 80), kv::Part::kValues, block);
  };
  const double plain = error("compose:b=2");
  EXPECT_LT(error("compose:b=2,r=4"), plain);
  EXPECT_LT(error("compose:b=2,s=2%"), plain);
  EXPECT_LT(error("compose:b=2,clip=1"), plain);
  EXPECT_LT(error("compose:b=2,g=16"), plain);
  for (size_t t = 0; t < 64; ++t) block[t * 80 + 3] = 20.0f;  // a channel of outliers
  EXPECT_LT(error("compose:b=2,rot=1"), 0.8 * error("compose:b=2"));
  EXPECT_LT(error("compose:b=8,rot=1"), 0.01);
}

TEST(ComposeTest, WrongParametersAreRefused) {
  for (const char* spec : {"compose:b=0", "compose:r=40", "compose:f=12", "compose:x=1", "compose:b"}) {
    EXPECT_THROW(ParseCompose(spec, 64), Error) << spec;
  }
}

TEST(DumpTest, WritesAnArrayOfPages) {
  if (!std::filesystem::exists(kModel)) GTEST_SKIP() << kModel << " is missing";
  const engine::LoadedModel model = engine::LoadModel(kModel);
  const std::vector<std::vector<int32_t>> texts = {SomeText(150), SomeText(100)};
  const std::string path = testing::TempDir() + "/pages.npy";
  ThreadPool threads(1);
  EXPECT_EQ(DumpPages(model, texts, 100, path, threads), 3u);
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_EQ(bytes.substr(1, 5), "NUMPY");
  EXPECT_NE(bytes.find("'shape': (3, 5, 4, 2, 64, 8)"), std::string::npos) << bytes.substr(0, 128);
  EXPECT_EQ(bytes.size(), 128 + 3u * 5 * 4 * 2 * 64 * 8 * 4);
  EXPECT_THROW(DumpPages(model, texts, 100, "/nowhere/pages.npy", threads), Error);
}

TEST(PlotTest, ShowsEachPointWithItsName) {
  const std::vector<PlotPoint> points = {{"a<b", 2.5, 0.01, {}},
                                         {"c", 4.5, 0.001, {0.0005, 0.002}},
                                         {"zero", 3.0, 0.0, {}},
                                         {"bad", 3.0, NAN, {}}};
  const std::string svg = ScatterSvg({"title", "x", "y", true}, points);
  EXPECT_NE(svg.find("a&lt;b"), std::string::npos);
  EXPECT_EQ(svg.find("zero"), std::string::npos);  // a logarithm has no place for it
  EXPECT_EQ(svg.find("bad"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_NE(ScatterSvg({"title", "x", "y", false}, {}).find("nothing to show"), std::string::npos);
}

}  // namespace
}  // namespace throng::eval
