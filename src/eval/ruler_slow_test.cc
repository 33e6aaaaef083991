// The committed long model finds what the texts give, and 8 bits lose none of it.
#include <gtest/gtest.h>

#include "base/thread_pool.h"
#include "eval/ruler.h"

namespace throng::eval {
namespace {

const std::string kSource = THRONG_SOURCE_DIR;

TEST(LongModelTest, FindsNeedlesAndVariablesOf4096Tokens) {
  const engine::LoadedModel model = engine::LoadModel(kSource + "/train/long.gguf");
  RulerOptions options;
  options.codecs = {"int8"};
  options.tasks = {RulerTask::kSingle, RulerTask::kMultiKey, RulerTask::kVariables};
  options.lengths = {4096};
  options.samples = 2;
  ThreadPool threads(2);
  const RulerRun run = RunRuler(model, kSource + "/town/eval/ruler.json", options, threads);
  ASSERT_EQ(run.results.size(), 2u * (1 + 4 + 2));
  for (size_t subject = 0; subject < 2; ++subject) {
    int words = 0, found = 0;
    for (const RulerResult& result : run.results) {
      EXPECT_GT(result.prompt_tokens, 4000);
      for (const bool is_found : result.answers[subject].found) {
        ++words;
        found += is_found;
      }
    }
    EXPECT_EQ(words, 2 * (1 + 4 + 10));
    EXPECT_GE(found, words - 3) << run.subjects[subject].kv;
  }
}

}  // namespace
}  // namespace throng::eval
