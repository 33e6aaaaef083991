#include "town/mind/interview.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "journal/llm/journaled_llm.h"
#include "journal/snapshots.h"
#include "llm/decorators/decorator.h"
#include "town/testing/scripted_llm.h"

namespace throng::town {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Interview : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(dir_);
    fs::create_directories(dir_);
    const std::unique_ptr<journal::Journal> journal = journal::Journal::Create(path_);
    TestLlm below;
    sim::RunOptions options;
    options.steps = 300;
    options.seed = 5;
    journal->Begin({}, *town_, options, below.Identity());
    journal::JournaledLlm llm(below, *journal);
    options.observers = {journal.get(), &minds_};
    journal::SnapshotWriter snapshots(*journal, *town_, 80);
    options.snapshots = &snapshots;
    sim::RunWorld(*town_, llm, options);
    journal->Flush();
  }
  void TearDown() override { fs::remove_all(dir_); }

  struct Minds : sim::RunObserver {
    void OnCommit(const sim::CommitRecord& record) override {
      for (const sim::MemberCommit& member : record.members) at[{record.step + 1, member.id}] = member.mind;
    }
    void OnStep(sim::Step, const Digest&) override {}
    std::map<std::pair<sim::Step, sim::AgentId>, sim::MindPtr> at;
  };

  std::unique_ptr<Town> town_ = LoadTown(std::string(THRONG_SOURCE_DIR) + "/town");
  fs::path dir_ = fs::temp_directory_path() / fmt::format("throng_interview_{}", getpid());
  std::string path_ = (dir_ / "run.journal").string();
  Minds minds_;
};

TEST_F(Interview, FindsTheMindOfEveryMoment) {
  const std::unique_ptr<journal::Journal> journal = journal::Journal::OpenToRead(path_);
  const auto size = fs::file_size(path_);
  for (const sim::Step step : {0, 1, 100, 300}) {
    const sim::AgentId mia = town_->FindAgent("Mia");
    const sim::MindPtr expected = step == 0 ? town_->StartMind(mia) : minds_.at[{step, mia}];
    const sim::MindPtr mind = MindsAt(*town_, *journal, step)[mia];
    EXPECT_EQ(town_->DescribeMind(mia, mind, false), town_->DescribeMind(mia, expected, false)) << step;
  }
  EXPECT_EQ(fs::file_size(path_), size);
}

TEST_F(Interview, RepeatsCallsThatFailed) {
  struct Failing : llm::Decorator {
    Failing() : Decorator(std::make_unique<TestLlm>()) {}
    void Wait(std::vector<llm::Completion>& done, double seconds) override {
      Decorator::Wait(done, seconds);
      for (llm::Completion& completion : done) {
        if ((completion.key.agent + completion.key.step) % 5 > 0) continue;
        completion.finish = llm::FinishReason::kError;
        completion.text.clear();
        completion.error = Error(ErrorCode::kUnavailable, "the server is gone");
      }
    }
  } failing;
  const std::unique_ptr<journal::Journal> journal =
      journal::Journal::Create((dir_ / "sick.journal").string());
  Minds minds;
  sim::RunOptions options;
  options.steps = 300;
  options.falls_back = [](const llm::Completion&) { return true; };
  journal->Begin({}, *town_, options, failing.Identity());
  journal::JournaledLlm llm(failing, *journal, options.falls_back);
  options.observers = {journal.get(), &minds};
  const sim::RunResult result = sim::RunWorld(*town_, llm, options);
  ASSERT_GT(result.stats.failed_calls, 5u);
  for (const char* name : {"Mia", "Ada", "Ben"}) {
    const sim::AgentId agent = town_->FindAgent(name);
    const sim::MindPtr mind = MindsAt(*town_, *journal, 300)[agent];
    EXPECT_EQ(town_->DescribeMind(agent, mind, true),
              town_->DescribeMind(agent, minds.at[{300, agent}], true));
  }
}

TEST_F(Interview, RefusesOtherTownsAndTimes) {
  const std::unique_ptr<journal::Journal> journal = journal::Journal::OpenToRead(path_);
  const auto error = [&](const Town& town, sim::Step step) -> std::string {
    try {
      MindsAt(town, *journal, step);
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  };
  EXPECT_THAT(error(*town_, 301), HasSubstr("there is no step 301, allowed: 0 to 300 (06:50)"));
  EXPECT_THAT(error(*town_, -1), HasSubstr("there is no step -1"));
  EXPECT_THAT(error(*LoadTown(std::string(THRONG_SOURCE_DIR) + "/town", {.agents = 3}), 10),
              HasSubstr("another town"));
}

}  // namespace
}  // namespace throng::town
