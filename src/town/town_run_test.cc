// Whole runs of the town with a backend that answers sensibly: what happens, and that it is the same in every
// mode.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "base/error.h"
#include "sim/run/run.h"
#include "town/mind/mind.h"
#include "town/testing/scripted_llm.h"
#include "town/town.h"

namespace throng::town {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string TownDir() { return std::string(THRONG_SOURCE_DIR) + "/town"; }

class Chronicle : public sim::RunObserver {
 public:
  void OnCommit(const sim::CommitRecord& record) override {
    for (const sim::Event& event : record.events) {
      of_kind[event.kind].push_back(event.text);
      log += fmt::format("{} {} {}: {}\n", record.step, event.agent, event.kind, event.text);
    }
  }
  void OnStep(sim::Step, const Digest&) override {}

  std::map<std::string, std::vector<std::string>> of_kind;
  std::string log;
};

struct Minds : sim::RunObserver {
  void OnCommit(const sim::CommitRecord& record) override {
    for (const sim::MemberCommit& member : record.members) last[member.id] = member.mind;
  }
  void OnStep(sim::Step, const Digest&) override {}
  std::map<uint32_t, sim::MindPtr> last;
};

sim::RunResult RunTown(const Town& town, TestLlm& llm, sim::Mode mode, sim::Step steps,
                       Chronicle* chronicle = nullptr) {
  sim::RunOptions options;
  options.mode = mode;
  options.steps = steps;
  if (chronicle) options.observers = {chronicle};
  return sim::RunWorld(town, llm, options);
}

TEST(TownRun, EveryModeAndOrderOfAnswersLeavesTheSameTown) {
  const auto town = LoadTown(TownDir());
  TestLlm llm;
  Chronicle chronicle;
  const sim::RunResult lockstep = RunTown(*town, llm, sim::Mode::kLockstep, 300, &chronicle);
  EXPECT_FALSE(chronicle.of_kind["say"].empty());
  EXPECT_TRUE(chronicle.of_kind["fallback"].empty());
  const std::pair<sim::Mode, uint64_t> others[] = {
      {sim::Mode::kSingle, 1},     {sim::Mode::kLockstep, 2},    {sim::Mode::kOutOfOrder, 3},
      {sim::Mode::kOutOfOrder, 4}, {sim::Mode::kSpeculative, 5}, {sim::Mode::kSpeculative, 6}};
  for (const auto& [mode, seed] : others) {
    TestLlm other(seed);
    const sim::RunResult result = RunTown(*town, other, mode, 300);
    EXPECT_EQ(result.hash, lockstep.hash) << sim::ModeName(mode) << " " << seed;
    EXPECT_EQ(result.stats.calls, lockstep.stats.calls);
    if (mode != sim::Mode::kSpeculative) continue;
    // Guesses rest on others' plans: if the others were expected to stay put, one guess in thirty would be
    // wrong.
    EXPECT_GT(result.stats.confirmed_steps, 1000u);
    EXPECT_LT(result.stats.squashed_steps * 50, result.stats.confirmed_steps);
  }
}

TEST(TownRun, ATownThatEmbedsIsTheSameInEveryModeToo) {
  const auto town = LoadTown(TownDir(), {.embeds = true});
  TestLlm llm;
  llm.keep_requests = true;
  Chronicle chronicle;
  const sim::RunResult lockstep = RunTown(*town, llm, sim::Mode::kLockstep, 300, &chronicle);
  EXPECT_TRUE(chronicle.of_kind["fallback"].empty());
  EXPECT_GT(chronicle.of_kind["say"].size(), 0u);
  EXPECT_EQ(llm.calls_of["embed"], llm.calls_of["act"] + llm.calls_of["talk"] + llm.calls_of["say"]);
  EXPECT_EQ(lockstep.stats.effects, llm.calls_of["embed"]);
  for (const auto& [mode, seed] : {std::pair(sim::Mode::kSingle, 1), std::pair(sim::Mode::kOutOfOrder, 2),
                                   std::pair(sim::Mode::kSpeculative, 3)}) {
    TestLlm other(static_cast<uint64_t>(seed));
    const sim::RunResult result = RunTown(*town, other, mode, 300);
    EXPECT_EQ(result.hash, lockstep.hash) << sim::ModeName(mode);
    if (mode == sim::Mode::kSpeculative) {
      EXPECT_GT(result.stats.confirmed_steps, 1000u);
    }
  }
  // No memory is embedded for every decision: a text comes back only if it was remembered again.
  std::map<uint32_t, size_t> asked;
  for (const llm::Request& request : llm.requests) {
    if (request.kind != llm::Kind::kEmbedding) continue;
    asked[request.key.agent] += Json::parse(request.prompt).at("texts").size() - 1;  // the first is the query
  }
  Minds minds;
  TestLlm again;
  sim::RunOptions options;
  options.steps = 300;
  options.observers = {&minds};
  sim::RunWorld(*town, again, options);
  size_t total = 0;
  for (const auto& [agent, texts] : asked) {
    const auto& mind = static_cast<const TownMind&>(*minds.last[agent]);
    EXPECT_LE(texts, mind.embeddings.Size());
    EXPECT_LE(mind.embeddings.Size(), mind.memories.Size());
    total += texts;
  }
  EXPECT_GT(total, 0u);
}

TEST(TownRun, WithoutEmbeddingsPeopleRecallByWords) {
  const auto town = LoadTown(TownDir(), {.embeds = true});
  TestLlm llm;
  llm.broken = true;
  Chronicle chronicle;
  RunTown(*town, llm, sim::Mode::kOutOfOrder, 3 * 360, &chronicle);
  EXPECT_THAT(chronicle.of_kind["fallback"],
              testing::Contains("embed: no embeddings, so memories are recalled by words"));
  EXPECT_GT(chronicle.of_kind["begin"].size(), 0u);
}

TEST(TownRun, AMorningHasPlansWalksAndTalks) {
  const auto town = LoadTown(TownDir());
  TestLlm llm;
  Chronicle chronicle;
  const sim::RunResult result = RunTown(*town, llm, sim::Mode::kOutOfOrder, town->DefaultSteps(), &chronicle);
  EXPECT_EQ(chronicle.of_kind["plan"].size(), 25u);
  EXPECT_GT(chronicle.of_kind["go"].size(), 40u);
  EXPECT_GT(chronicle.of_kind["begin"].size(), 40u);
  EXPECT_GT(chronicle.of_kind["talk"].size(), 20u);
  // News that one person knew at the start spreads.
  EXPECT_THAT(chronicle.of_kind["say"], testing::Contains(HasSubstr("the concert is at the park at 11:00.")));
  EXPECT_GT(result.stats.max_spread, 5);  // homes are far enough apart to be out of order
  EXPECT_GE(result.stats.calls, 300u);
  EXPECT_LE(result.stats.calls, 900u);
  EXPECT_LT(llm.longest_prompt, 3000u);
  for (const auto& [function, calls] : llm.calls_of) {
    RecordProperty(function, fmt::format("{} calls, {} prompt bytes", calls, llm.bytes_of[function]));
  }
}

TEST(TownRun, TwoDaysHaveEveningsAndNights) {
  const auto town = LoadTown(TownDir());
  TestLlm llm;
  Chronicle chronicle;
  RunTown(*town, llm, sim::Mode::kOutOfOrder, 30 * 360, &chronicle);
  EXPECT_EQ(chronicle.of_kind["reflect"].size(), 25u);
  EXPECT_EQ(chronicle.of_kind["sleep"].size(), 25u);
  EXPECT_EQ(chronicle.of_kind["plan"].size(), 50u);
  EXPECT_LT(llm.longest_prompt, 4000u);
}

TEST(TownRun, AnswersThatMeanNothingDoNotStopTheTown) {
  const auto town = LoadTown(TownDir());
  TestLlm llm;
  llm.broken = true;
  Chronicle chronicle;
  RunTown(*town, llm, sim::Mode::kOutOfOrder, 18 * 360, &chronicle);
  EXPECT_GT(chronicle.of_kind["fallback"].size(), 100u);
  EXPECT_GT(chronicle.of_kind["begin"].size(), 50u);
  EXPECT_EQ(chronicle.of_kind["say"].size(), 0u);
  EXPECT_EQ(chronicle.of_kind["sleep"].size(), 25u);
}

TEST(TownRun, MorePeopleLiveInCopiesThatDoNotMeet) {
  const auto town = LoadTown(TownDir(), {.agents = 60});
  EXPECT_EQ(town->NumAgents(), 60u);
  EXPECT_EQ(town->AgentName(27), "Cleo-2");
  EXPECT_EQ(town->FindAgent("Cleo-2"), 27u);
  EXPECT_THROW(town->FindAgent("Cleo-4"), Error);
  std::set<sim::Pos> starts;
  for (sim::AgentId agent = 0; agent < 60; ++agent) {
    const sim::Body body = town->StartBody(agent);
    EXPECT_TRUE(town->GetSpace().Contains(body.pos));
    EXPECT_TRUE(starts.insert(body.pos).second) << agent;
  }
  TestLlm llm;
  TestLlm other(7);
  EXPECT_EQ(RunTown(*town, llm, sim::Mode::kLockstep, 120).hash,
            RunTown(*town, other, sim::Mode::kOutOfOrder, 120).hash);
  EXPECT_EQ(Json::parse(town->MapJson())["copies"].size(), 3u);
}

TEST(TownRun, FewPeopleAreEnough) {
  const auto town = LoadTown(TownDir(), {.agents = 2});
  TestLlm llm;
  Chronicle chronicle;
  RunTown(*town, llm, sim::Mode::kOutOfOrder, 360, &chronicle);
  EXPECT_EQ(chronicle.of_kind["plan"].size(), 2u);
  EXPECT_GE(chronicle.of_kind["talk"].size(), 1u);  // they live together
}

TEST(TownRun, RequestsSayWhatTheyAreFor) {
  const auto town = LoadTown(TownDir());
  TestLlm llm;
  llm.keep_requests = true;
  RunTown(*town, llm, sim::Mode::kLockstep, 300);
  for (const llm::Request& request : llm.requests) {
    EXPECT_FALSE(request.constraint.Empty());
    EXPECT_GT(request.max_tokens, 0);
    EXPECT_EQ(request.priority, request.key.step);
    EXPECT_THAT(request.prompt, testing::Not(HasSubstr("{{")));
  }
}

// The items of the list below the line that begins so.
std::vector<std::string> ItemsBelow(const std::string& prompt, const std::string& title) {
  std::vector<std::string> items;
  std::istringstream lines(prompt);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (inside && !line.starts_with("- ")) break;
    if (inside && line != "- none") items.push_back(line.substr(2));
    if (line.starts_with(title)) inside = true;
  }
  return items;
}

TEST(TownRun, RequestsSayWhichMemoriesTheirPromptsHold) {
  const auto town = LoadTown(TownDir());
  TestLlm llm;
  llm.keep_requests = true;
  Chronicle chronicle;
  RunTown(*town, llm, sim::Mode::kOutOfOrder, 700, &chronicle);
  int from_talks = 0;
  for (const llm::Request& request : llm.requests) {
    std::vector<std::string> lines = ItemsBelow(request.prompt, "Memories:");
    const std::vector<std::string> news = ItemsBelow(request.prompt, "News for ");
    for (const llm::UsedMemory& memory : request.memories) {
      EXPECT_LE(memory.step, request.key.step);
      const auto line = std::find_if(lines.begin(), lines.end(), [&](const std::string& candidate) {
        return candidate.substr(6) == memory.text;
      });
      if (line != lines.end()) {
        lines.erase(line);
      } else {
        const auto is_from = [&](const std::string& item) {
          return memory.text.find(item) != std::string::npos;
        };
        EXPECT_TRUE(std::any_of(news.begin(), news.end(), is_from)) << memory.text << "\n" << request.prompt;
      }
      // The utterance that it comes from was made in that step.
      const size_t said = memory.text.find(" said: ");
      if (said == std::string::npos || memory.step == 0) continue;
      ++from_talks;
      EXPECT_THAT(chronicle.log,
                  HasSubstr(fmt::format("{} {} say: to {}: {}\n", memory.step,
                                        town->FindAgent(memory.text.substr(0, said)),
                                        town->AgentName(request.key.agent), memory.text.substr(said + 7))));
    }
    EXPECT_THAT(lines, testing::IsEmpty()) << request.prompt;
  }
  EXPECT_GT(from_talks, 20);
}

// What prompts of calls show from some step on; the people themselves go on having it.
TEST(Town, HoldsBackFromPromptsWhatAForkHides) {
  constexpr sim::Step kFrom = 300;
  struct Prompts {
    std::string before;
    std::string after;
  };
  const auto run = [](const Hidden& hidden, bool embeds = false) {
    const LoadOptions options = {.embeds = embeds, .hidden = {{kFrom, hidden}}};
    TestLlm llm;
    llm.keep_requests = true;
    RunTown(*LoadTown(TownDir(), options), llm, sim::Mode::kLockstep, 700);
    Prompts prompts;
    for (const llm::Request& request : llm.requests) {
      if (request.kind == llm::Kind::kEmbedding) continue;  // all that is remembered is embedded
      (request.key.step < kFrom ? prompts.before : prompts.after) += request.prompt;
    }
    return prompts;
  };
  const Prompts all = run({});
  const Prompts none = run({.observations = true, .reflections = true, .plans = true, .relations = true});
  EXPECT_EQ(none.before, all.before);
  for (const char* held : {" said: the contest", "You began to ", ":00 bakery: ", "(partner)"}) {
    EXPECT_THAT(all.after, HasSubstr(held));
    EXPECT_THAT(none.after, Not(HasSubstr(held)));
  }
  // What is left is recalled by its own embeddings.
  const Prompts embedded = run({.plans = true}, /*embeds=*/true);
  EXPECT_TRUE(embedded.after.find("You began to ") != std::string::npos);
  EXPECT_TRUE(embedded.after.find(":00 bakery: ") == std::string::npos);
  EXPECT_THROW(ParseHidden("--without", "plans,hope"), Error);
  EXPECT_TRUE(ParseHidden("--without", "plans,relations").relations);
}

TEST(Town, DescribesAndInterviewsAMind) {
  const auto town = LoadTown(TownDir());
  const sim::AgentId nils = town->FindAgent("Nils");
  const sim::MindPtr mind = town->StartMind(nils);
  EXPECT_THAT(town->DescribeMind(nils, mind, false),
              HasSubstr("- 06:00 Yara said: the concert is at the park at 11:00."));
  const Json json = Json::parse(town->DescribeMind(nils, mind, true));
  EXPECT_EQ(json["memories"][0]["kind"], "heard");
  const llm::Request request = town->Interview(nils, mind, 10, "Where is the concert?", {}, {});
  EXPECT_THAT(request.prompt, testing::EndsWith("Question: Where is the concert?\nAnswer:\n"));
  EXPECT_THAT(request.stop, testing::ElementsAre("\n"));
  EXPECT_THROW(town->Interview(nils, mind, 10, " ", {}, {}), Error);
  EXPECT_THROW(town->FindAgent("Nobody"), Error);

  EXPECT_THAT(request.prompt, HasSubstr("the concert is at the park"));
  const auto without = [&](const Hidden& hidden) {
    return town->Interview(nils, mind, 10, "Where?", hidden, {}).prompt;
  };
  EXPECT_THAT(without({.observations = true}), Not(HasSubstr("the concert is at the park")));
  EXPECT_THAT(without({.reflections = true, .plans = true}), HasSubstr("the concert is at the park"));

  const llm::Request judge = town->Judge(nils, mind, 10, "Where is the concert?", "at the\npark", {});
  EXPECT_THAT(judge.prompt, HasSubstr("Nils was asked: Where is the concert?\nNils answered: at the park\n"));
  EXPECT_THAT(judge.prompt, HasSubstr("- 06:00 Yara said: the concert is at the park at 11:00."));
  EXPECT_THAT(judge.constraint.choices, testing::ElementsAre("1", "2", "3", "4", "5"));
}

}  // namespace
}  // namespace throng::town
