// Happenings: people come and go, things are announced and seen, alike in every mode.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "base/error.h"
#include "base/mapped_file.h"
#include "sim/run/run.h"
#include "town/testing/scripted_llm.h"
#include "town/town.h"

namespace throng::town {
namespace {

using testing::Contains;
using testing::HasSubstr;

std::string TownDir() { return std::string(THRONG_SOURCE_DIR) + "/town"; }

struct Line {
  sim::Step step;
  sim::AgentId agent;
  std::string kind;
  std::string text;
};

class Chronicle : public sim::RunObserver {
 public:
  void OnCommit(const sim::CommitRecord& record) override {
    for (const sim::Event& event : record.events)
      lines.push_back({record.step, event.agent, event.kind, event.text});
    for (const sim::MemberCommit& member : record.members) last_step[member.id] = record.step;
  }
  void OnStep(sim::Step, const Digest&) override {}

  std::vector<Line> Of(const std::string& kind) const {
    std::vector<Line> found;
    for (const Line& line : lines) {
      if (line.kind == kind) found.push_back(line);
    }
    return found;
  }

  std::vector<Line> lines;
  std::map<sim::AgentId, sim::Step> last_step;
};

class TownEvents : public ::testing::Test {
 protected:
  sim::Step At(const char* clock) const { return town_->StepAt(clock); }

  sim::RunResult Run(const Town& town, sim::Mode mode, uint64_t timing, Chronicle* chronicle = nullptr) {
    TestLlm llm(timing);
    sim::RunOptions options;
    options.mode = mode;
    options.steps = At("09:00");
    options.interventions = {{0, "leave Nils"},
                             {At("07:00"), "announce Radio said: the concert is at the pub at 12:00."},
                             {At("07:30"), "leave Ben"},
                             {At("08:00"), "arrive Nils at bakery"},
                             {At("08:10"), "at cafe for 40: a fire"},
                             {At("08:20"), "tell Ada: Eva said: Dan needs a ladder."}};
    if (chronicle) options.observers = {chronicle};
    return sim::RunWorld(town, llm, options);
  }

  std::unique_ptr<Town> town_ = LoadTown(TownDir());
};

TEST_F(TownEvents, ComeOutAlikeInEveryMode) {
  const sim::RunResult lockstep = Run(*town_, sim::Mode::kLockstep, 1);
  EXPECT_EQ(lockstep.stats.interventions, 6u);
  const std::pair<sim::Mode, uint64_t> others[] = {
      {sim::Mode::kSingle, 2}, {sim::Mode::kOutOfOrder, 3}, {sim::Mode::kSpeculative, 4}};
  for (const auto& [mode, timing] : others) {
    EXPECT_EQ(Run(*town_, mode, timing).step_hashes, lockstep.step_hashes) << sim::ModeName(mode);
  }
}

TEST_F(TownEvents, PeopleComeAndGoAndPerceiveWhatHappens) {
  const sim::AgentId nils = town_->FindAgent("Nils");
  Chronicle chronicle;
  Run(*town_, sim::Mode::kOutOfOrder, 1, &chronicle);
  EXPECT_EQ(chronicle.last_step[town_->FindAgent("Ben")], At("07:30") - 1);
  EXPECT_EQ(chronicle.last_step[nils], At("09:00") - 1);

  const auto is_of_nils = [&](const Line& line) { return line.agent == nils; };
  const auto first = std::find_if(chronicle.lines.begin(), chronicle.lines.end(), is_of_nils);
  ASSERT_NE(first, chronicle.lines.end());
  EXPECT_EQ(first->step, At("08:00"));  // wakes up where it arrives, and makes a plan
  EXPECT_EQ(first->kind, "plan");

  std::set<sim::AgentId> heard;
  for (const Line& line : chronicle.Of("hear")) {
    EXPECT_GE(line.step, At("07:00"));
    EXPECT_TRUE(heard.insert(line.agent).second);
  }
  EXPECT_GT(heard.size(), 10u);
  EXPECT_TRUE(heard.count(nils));

  const std::vector<Line> seen = chronicle.Of("notice");
  EXPECT_FALSE(seen.empty());
  for (const Line& line : seen) {
    EXPECT_GE(line.step, At("08:10"));
    EXPECT_LT(line.step, At("08:50"));
    EXPECT_EQ(line.text, "You saw a fire at the cafe.");
  }
}

TEST_F(TownEvents, WhatIsNotUnderstoodIsRefused) {
  const auto error_of = [&](const std::string& what) -> std::string {
    try {
      town_->CheckIntervention(what);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(error_of("arrive Nils"), "no error");
  EXPECT_EQ(error_of("arrive Nils at home"), "no error");
  EXPECT_THAT(error_of("dance"), HasSubstr("event \"dance\": allowed: \"arrive NAME\""));
  EXPECT_THAT(error_of("arrive Niels"), HasSubstr("nobody has this name"));
  EXPECT_THAT(error_of("arrive Nils at moon"), HasSubstr("a public place"));
  EXPECT_THAT(error_of("at home for 5: a fire"), HasSubstr("a public place"));
  EXPECT_THAT(error_of("at bakery for 0: a fire"), HasSubstr("for 1 to 1440 minutes"));
  EXPECT_THAT(error_of("announce " + std::string(161, 'x')), HasSubstr("one line of at most 160 bytes"));
}

// The same in the files of a scenario: a person absent at first, and news at a given time.
TEST_F(TownEvents, AScenarioMaySayWhoIsAbsentAndWhatIsAnnounced) {
  const std::filesystem::path dir =
      std::filesystem::temp_directory_path() / fmt::format("throng-town-events-{}", getpid());
  std::filesystem::remove_all(dir);
  std::filesystem::copy(TownDir(), dir, std::filesystem::copy_options::recursive);
  const auto edit = [&](const std::string& file, const std::string& from, const std::string& to) {
    std::string text = ReadFile(dir / file);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos);
    text.replace(at, from.size(), to);
    std::ofstream(dir / file) << text;
  };
  edit("personas.json", "{\"name\": \"Nils\", \"age\"", "{\"name\": \"Nils\", \"absent\": true, \"age\"");
  edit(
      "scenario.json", "\"start\": \"06:00\",",
      "\"start\": \"06:00\", \"announcements\": [{\"at\": \"06:40\", \"text\": \"Radio said: it rains.\"}],");
  const auto town = LoadTown(dir);
  const sim::RunResult lockstep = Run(*town, sim::Mode::kLockstep, 1);
  Chronicle chronicle;
  EXPECT_EQ(Run(*town, sim::Mode::kOutOfOrder, 2, &chronicle).hash, lockstep.hash);
  std::vector<std::string> heard;
  for (const Line& line : chronicle.Of("hear")) heard.push_back(line.text);
  EXPECT_THAT(heard, Contains("Radio said: it rains."));
  for (const Line& line : chronicle.lines) {
    if (line.agent == town->FindAgent("Nils")) {
      EXPECT_GE(line.step, At("08:00"));
    }
  }
  edit("scenario.json", "06:40", "05:40");
  EXPECT_THROW(LoadTown(dir), Error);
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace throng::town
