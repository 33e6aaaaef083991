#include "studies/paper_kv.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/thread_pool.h"
#include "engine/loaded_model.h"
#include "eval/questions.h"

namespace throng::studies {
namespace {

TEST(PaperKv, EveryRowOfThePapersHasAValue) {
  ThreadPool threads(2);
  const engine::LoadedModel model = engine::LoadModel("");
  const std::vector<eval::Question> questions =
      eval::ReadQuestions(THRONG_SOURCE_DIR "/town/eval/recall.jsonl", 3);
  std::vector<std::string> progress;
  const PaperKvFlags flags{
      .shape = "tiny",
      .batch = 2,
      .prompt = 128,
      .answer = 4,
      .keys = 512,
      .queries = 64,
      .rounds = 1,
      .on_progress = [&](const std::string& text) { progress.push_back(text); },
  };
  const std::vector<PaperRow> rows = MeasureKv(flags, model, questions, threads);
  EXPECT_EQ(rows.size(), 14u + 6u + 2u + 6u);
  EXPECT_FALSE(progress.empty());
  std::map<std::string, double> values;
  for (const PaperRow& row : rows) {
    SCOPED_TRACE(row.setting + ": " + row.measure);
    ASSERT_EQ(row.values.size(), 1u);
    EXPECT_TRUE(std::isfinite(row.values[0]) && row.values[0] > 0);
    values[row.measure] = row.values[0];
  }
  EXPECT_NEAR(values.at("kivi4, of f16's"), 28.75, 0.1);
  EXPECT_LT(values.at("kivi2, of f16's"), values.at("gearl2:rounds=0, of f16's"));
  const double whole = values.at("f16 over gear2, with the weights");
  EXPECT_GT(whole, 1.0);
  EXPECT_GT(values.at("f16 over gear2, caches alone"), whole);
}

}  // namespace
}  // namespace throng::studies
