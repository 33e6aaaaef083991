// A sample of scripts/quality_gates in every test run: the embedded model, facts at least two sealed pages
// back. The bounds are near what this sample gives on x86-64 (`throng eval recall --samples 60`).

#include <gtest/gtest.h>

#include <iterator>

#include "base/thread_pool.h"
#include "eval/recall.h"

namespace throng::eval {
namespace {

constexpr size_t kQuestions = 60;

struct Bounds {
  const char* codec;
  int lost;  // most answers lost
  double least_kl;
  double most_kl;
};

// Measured: 0, 0, 1 and 1 answers lost; mean KL 0.00035, 0.0014, 0.037 and 0.083. KL: from half to twice
// that.
constexpr Bounds kBounds[] = {{"gear4", 1, 0.00018, 0.0007},
                              {"flashq4", 1, 0.0007, 0.0028},
                              {"gear2", 3, 0.0185, 0.074},
                              {"kivi2", 3, 0.0415, 0.166}};

TEST(QualityTest, CodecsKeepTheAnswersOfTheEmbeddedModel) {
  const std::string town = std::string(THRONG_SOURCE_DIR) + "/town/";
  const engine::LoadedModel model = engine::LoadModel(town + "model.gguf");
  const auto questions = ReadQuestions(town + "eval/recall_far.jsonl.gz", kQuestions, 2 * kv::kPageTokens);
  ASSERT_EQ(questions.size(), kQuestions);
  ThreadPool threads(2);
  EvalOptions options;
  for (const Bounds& bounds : kBounds) options.codecs.emplace_back(bounds.codec);
  const auto results = MeasureRecall(model, questions, options, threads);
  EXPECT_GE(results[0].recall.accuracy, 58.0 / 60);  // f32
  for (size_t i = 0; i < std::size(kBounds); ++i) {
    const CodecRecall& result = results[i + 1];
    EXPECT_LE(result.recall.lost, kBounds[i].lost) << result.kv;
    EXPECT_GE(result.divergence.kl_mean, kBounds[i].least_kl) << result.kv;
    EXPECT_LE(result.divergence.kl_mean, kBounds[i].most_kl) << result.kv;
  }
  const CodecRecall& gear2 = results[3];
  const CodecRecall& kivi2 = results[4];
  EXPECT_LT(gear2.divergence.kl_mean, kivi2.divergence.kl_mean);
  EXPECT_LE(gear2.sizes.bits, 1.35 * kivi2.sizes.bits);
}

}  // namespace
}  // namespace throng::eval
