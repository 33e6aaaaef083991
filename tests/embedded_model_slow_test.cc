// What the embedded model can do, on held-out prompts: train/README.md says how they are made.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/data_dir.h"
#include "engine/local_llm.h"

namespace throng {
namespace {

struct Score {
  int right = 0;
  int asked = 0;
  double Share() const { return asked == 0 ? 0 : static_cast<double>(right) / asked; }
};

// Asks all prompts of the file at once, each a choice; the scores are by kind of question, and "" is the total.
std::map<std::string, Score> Ask(const std::string& file) {
  engine::LocalLlm backend(std::make_shared<engine::LocalModel>(engine::LocalOptions()));
  std::map<uint64_t, nlohmann::json> items;
  std::ifstream lines(DataDir() + "/town/eval/" + file);
  for (std::string line; std::getline(lines, line);) {
    nlohmann::json item = nlohmann::json::parse(line);
    llm::Request request;
    request.prompt = item["prompt"];
    request.constraint.choices = item["choices"].get<std::vector<std::string>>();
    request.id = items.size();
    items.emplace(request.id, std::move(item));
    backend.Submit(std::move(request));
  }
  EXPECT_GE(items.size(), 200u) << file;
  std::map<std::string, Score> scores;
  std::vector<llm::Completion> done;
  for (size_t seen = 0; seen < items.size();) {
    done.clear();
    backend.Wait(done, llm::Llm::kForever);
    for (const llm::Completion& completion : done) {
      const nlohmann::json& item = items.at(completion.id);
      EXPECT_FALSE(completion.error) << completion.error->what();
      const int right = completion.text == item["answer"].get<std::string>() ? 1 : 0;
      for (const std::string& kind : {std::string(), item.value("kind", std::string("all"))}) {
        scores[kind].right += right;
        ++scores[kind].asked;
      }
    }
    seen += done.size();
  }
  for (const auto& [kind, score] : scores) {
    std::printf("%-12s %-8s %4d of %4d: %.1f %%\n", file.c_str(), kind.empty() ? "total" : kind.c_str(),
                score.right, score.asked, 100 * score.Share());
  }
  return scores;
}

TEST(EmbeddedModel, PicksThePlannedPlace) { EXPECT_GE(Ask("act.jsonl")[""].Share(), 0.95); }

TEST(EmbeddedModel, RecallsWhatItWasTold) { EXPECT_GE(Ask("recall.jsonl")[""].Share(), 0.90); }

}  // namespace
}  // namespace throng
