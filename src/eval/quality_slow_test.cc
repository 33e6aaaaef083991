// A sample of scripts/quality_gates in every test run: the embedded model, facts at least two sealed pages
// back. The allowances are those of the gates, and what chance may do to so few questions.

#include <gtest/gtest.h>

#include "base/thread_pool.h"
#include "eval/recall.h"

namespace throng::eval {
namespace {

constexpr size_t kQuestions = 60;

TEST(QualityTest, CodecsKeepTheAnswersOfTheEmbeddedModel) {
  const std::string town = std::string(THRONG_SOURCE_DIR) + "/town/";
  const engine::LoadedModel model = engine::LoadModel(town + "model.gguf");
  const auto questions = ReadQuestions(town + "eval/recall_far.jsonl.gz", kQuestions, 2 * kv::kPageTokens);
  ASSERT_EQ(questions.size(), kQuestions);
  ThreadPool threads(2);
  EvalOptions options;
  options.codecs = {"gear4", "flashq4", "gear2", "kivi2"};
  const auto results = MeasureRecall(model, questions, options, threads);
  for (const auto& r : results)
    fprintf(
        stderr,
        "MEASURED %s accuracy %.5f lost %d gained %d kl %.6f p99 %.5f top1 %.5f bits %.4f ek %.5f ev %.5f\n",
        r.kv.c_str(), r.recall.accuracy, r.recall.lost, r.recall.gained, r.divergence.kl_mean,
        r.divergence.kl_p99, r.divergence.top1, r.sizes.bits, r.divergence.error_keys,
        r.divergence.error_values);
  const CodecRecall& gear2 = results[3];
  const CodecRecall& kivi2 = results[4];
  // Facts are found at all: chance is 8 %.
  EXPECT_GT(results[0].recall.accuracy, 0.3);
  EXPECT_GE(results[1].recall.difference_interval.high, -0.005);
  EXPECT_GE(results[2].recall.difference_interval.high, -0.005);
  EXPECT_GE(gear2.recall.difference_interval.high, -0.02);
  EXPECT_LT(results[1].divergence.kl_mean, 0.002);
  EXPECT_LT(results[2].divergence.kl_mean, 0.01);
  EXPECT_LT(gear2.divergence.kl_mean, kivi2.divergence.kl_mean);
  EXPECT_LE(gear2.sizes.bits, 1.35 * kivi2.sizes.bits);
}

}  // namespace
}  // namespace throng::eval
