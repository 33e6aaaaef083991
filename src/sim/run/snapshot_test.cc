#include "sim/snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "sim/run/run.h"
#include "sim/testing/test_worlds.h"

namespace throng::sim {
namespace {

using ::testing::HasSubstr;

constexpr Step kSteps = 24;
constexpr Step kEvery = 6;
constexpr Mode kModes[] = {Mode::kSingle, Mode::kLockstep, Mode::kOutOfOrder, Mode::kSpeculative};

// Keeps a snapshot of every `every`th step, as bytes.
struct Shelf : SnapshotSink {
  explicit Shelf(Step every) : every(every) {}
  std::optional<Step> NextAfter(Step front) override { return (front / every + 1) * every; }
  void Keep(const Snapshot& snapshot) override { kept[snapshot.step] = WriteSnapshot(snapshot); }
  Step every;
  std::map<Step, std::string> kept;
};

// Clusters by step and first member, with their digests.
struct Commits : RunObserver {
  void OnCommit(const CommitRecord& record) override {
    digests[{record.step, record.members.front().id}] = record.digest;
  }
  void OnStep(Step, const Digest&) override {}
  std::map<std::pair<Step, AgentId>, Digest> digests;
};

RunOptions OptionsFor(Mode mode) {
  RunOptions options;
  options.mode = mode;
  options.steps = kSteps;
  return options;
}

std::vector<uint64_t> CountsOf(const RunResult& result) {
  std::vector<uint64_t> counts = {result.stats.largest_cluster, result.stats.interventions};
  ForEachStepCount([&](auto field) { counts.push_back(result.stats.*field); });
  return counts;
}

// Runs it in one mode with snapshots, then from each of them in the other modes.
void ExpectSameFromEverywhere(const WalkerWorld& world, const std::vector<Intervention>& interventions) {
  std::map<Step, std::string> first;
  RunResult whole;
  uint64_t timing = 1;
  for (const Mode mode : kModes) {
    RunOptions options = OptionsFor(mode);
    options.interventions = interventions;
    Shelf shelf(kEvery);
    options.snapshots = &shelf;
    HashLlm llm(++timing);
    const RunResult result = RunWorld(world, llm, options);
    if (first.empty()) {
      first = shelf.kept;
      whole = result;
      ASSERT_GT(first.size(), 1u);
    }
    ASSERT_EQ(result.hash, whole.hash);
    ASSERT_FALSE(shelf.kept.empty());
    // Whatever the order of execution; some steps are passed by before anybody asks for their snapshots.
    for (const auto& [step, bytes] : shelf.kept) {
      ASSERT_TRUE(bytes == first.at(step)) << "step " << step << " in mode " << ModeName(mode);
    }
  }
  for (const auto& [step, bytes] : first) {
    const auto after = static_cast<ptrdiff_t>(step);
    const Snapshot from =
        ReadSnapshot(world, step, {whole.step_hashes.begin(), whole.step_hashes.begin() + after}, bytes);
    for (const Mode mode : kModes) {
      RunOptions options = OptionsFor(mode);
      options.interventions = interventions;
      options.from = &from;
      Commits commits;
      Shelf shelf(kEvery);
      options.observers = {&commits};
      options.snapshots = &shelf;
      HashLlm llm(++timing);
      const RunResult result = RunWorld(world, llm, options);
      ASSERT_EQ(result.step_hashes, whole.step_hashes)
          << "from step " << step << " in mode " << ModeName(mode);
      ASSERT_EQ(result.hash, whole.hash);
      EXPECT_EQ(CountsOf(result), CountsOf(whole));
      EXPECT_GE(commits.digests.begin()->first.first, step);  // nothing is done again
      for (const auto& [later, again] : shelf.kept) EXPECT_TRUE(again == first.at(later));
      EXPECT_EQ(shelf.kept.empty(), step + kEvery >= kSteps);
    }
  }
}

TEST(Snapshot, ARunFromItEndsAsTheWholeRunDoes) {
  for (uint64_t seed = 0; seed < 3; ++seed) {
    WalkerOptions walkers;
    walkers.seed = seed;
    walkers.agents = 9;
    walkers.crowd = seed % 3 == 1;
    walkers.naps = seed % 2 == 0;
    walkers.mixed = seed % 3 == 2;
    walkers.width = walkers.height = 14 + static_cast<int32_t>(seed) * 6;
    ExpectSameFromEverywhere(WalkerWorld(walkers), {});
  }
}

TEST(Snapshot, HoldsPostsLikesAndMessages) {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    WalkerOptions walkers;
    walkers.seed = seed;
    walkers.agents = 9;
    walkers.reserve = seed % 2 == 0 ? 0 : 2 * walkers.agents + 3;
    walkers.rules = seed == 1 ? Rules{0, 0} : Rules{2, 1};
    walkers.posts = {.latency = 1 + static_cast<Step>(seed % 3), .kept = 1 + 4 * static_cast<Step>(seed)};
    walkers.horizon = seed == 2 ? 0 : 3 + static_cast<Step>(seed);
    ExpectSameFromEverywhere(WalkerWorld(walkers),
                             {{4, "remove 1"}, {6, "remove 3"}, {13, "add 3 3 3"}, {17, "tell 2 secret"}});
  }
}

TEST(Snapshot, HoldsBirthsDeathsNewsAndWhatHappensFromOutside) {
  for (uint64_t seed = 0; seed < 3; ++seed) {
    WalkerOptions walkers;
    walkers.seed = seed;
    walkers.agents = 9;
    walkers.naps = true;
    walkers.reserve = 2 * walkers.agents + 3;
    walkers.horizon = 5;
    const AgentId last = walkers.agents + walkers.reserve - 1;
    ExpectSameFromEverywhere(WalkerWorld(walkers), {{4, "remove 1"},
                                                    {6, fmt::format("add {} 3 3", last)},
                                                    {6, "write 3 4 here"},
                                                    {9, "announce fair"},
                                                    {12, fmt::format("remove {}", last)},
                                                    {15, fmt::format("add {} 5 5", last)},
                                                    {17, "tell 2 secret"}});
  }
}

TEST(Snapshot, NetworksToo) {
  WalkerOptions walkers;
  walkers.rules = {1, 0};
  std::vector<std::vector<NodeId>> follows(walkers.agents);
  for (NodeId node = 0; node < walkers.agents; ++node)
    follows[node] = {(node + 1) % walkers.agents, node / 2};
  walkers.network = std::make_shared<const Network>(follows);
  walkers.width = static_cast<int32_t>(walkers.agents);
  walkers.height = 1;
  ExpectSameFromEverywhere(WalkerWorld(walkers), {{7, "tell 2 secret"}});
}

TEST(Snapshot, AWorldThatIsLeftAndSettledAgainHasThoseThatAreTrue) {
  WalkerOptions walkers;
  walkers.agents = 2;
  walkers.reserve = 3;
  const WalkerWorld world(walkers);
  RunOptions options = OptionsFor(Mode::kOutOfOrder);
  options.interventions = {{4, "remove 0"}, {4, "remove 1"}, {13, "add 3 1 1"}};
  Shelf shelf(2);
  options.snapshots = &shelf;
  HashLlm llm(1);
  const RunResult whole = RunWorld(world, llm, options);
  ASSERT_GT(shelf.kept.size(), 3u);
  for (const auto& [step, bytes] : shelf.kept) {
    const Snapshot from =
        ReadSnapshot(world, step, {whole.step_hashes.begin(), whole.step_hashes.begin() + step}, bytes);
    RunOptions again = OptionsFor(Mode::kOutOfOrder);
    again.interventions = options.interventions;
    again.from = &from;
    HashLlm other(2);
    EXPECT_EQ(RunWorld(world, other, again).hash, whole.hash) << "from step " << step;
  }
}

// Every damaged byte and every cut is told, or harmless: then what was read is what was written.
TEST(Snapshot, DamagedBytesAreRefusedInOneSentence) {
  WalkerOptions walkers;
  walkers.agents = 8;
  walkers.reserve = 9;
  walkers.horizon = 5;
  walkers.posts = {.latency = 2, .kept = 3};
  const WalkerWorld world(walkers);
  RunOptions options = OptionsFor(Mode::kOutOfOrder);
  Shelf shelf(12);
  options.snapshots = &shelf;
  HashLlm llm(1);
  const RunResult whole = RunWorld(world, llm, options);
  const std::vector<Digest> before(whole.step_hashes.begin(), whole.step_hashes.begin() + 12);
  ASSERT_TRUE(shelf.kept.contains(12));
  const std::string& bytes = shelf.kept.at(12);
  const auto read = [&](const std::string& damaged) -> std::string {
    try {
      return WriteSnapshot(ReadSnapshot(world, 12, before, damaged));
    } catch (const Error& error) {
      EXPECT_EQ(error.Code(), ErrorCode::kCorrupt);
      return {};
    }
  };
  EXPECT_EQ(read(bytes), bytes);
  for (size_t size = 0; size < bytes.size(); ++size) EXPECT_EQ(read(bytes.substr(0, size)), "");
  EXPECT_EQ(read(bytes + "x"), "");
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x81);
    const std::string again = read(damaged);
    EXPECT_TRUE(again.empty() || again.size() <= damaged.size());
  }
  EXPECT_THROW(ReadSnapshot(world, 11, before, bytes), Error);
  std::vector<Digest> others = before;
  others[3].low ^= 1;
  EXPECT_THROW(ReadSnapshot(world, 12, others, bytes), Error);
  walkers.agents = 9;
  EXPECT_THROW(ReadSnapshot(WalkerWorld(walkers), 12, before, bytes), Error);
}

}  // namespace
}  // namespace throng::sim
