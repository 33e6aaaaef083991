#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "journal/llm/journaled_llm.h"
#include "journal/snapshots.h"
#include "journal/store/database.h"
#include "sim/testing/test_worlds.h"

namespace throng::journal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr sim::Step kSteps = 24;

class JournalSnapshotTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = std::filesystem::temp_directory_path() / fmt::format("throng-snapshot-test-{}", getpid());
    std::filesystem::create_directories(dir_);
    original_ = Journal::Create(PathOf("original"));
    sim::HashLlm backend(1);
    original_->Begin({}, world_, Options(sim::Mode::kLockstep), backend.Identity());
    whole_ = Run(*original_, Options(sim::Mode::kLockstep), 1);
  }
  void TearDown() override {
    original_.reset();
    std::filesystem::remove_all(dir_);
  }

  std::string PathOf(const std::string& name) const { return dir_ / name; }

  static sim::RunOptions Options(sim::Mode mode) {
    sim::RunOptions options;
    options.steps = kSteps;
    options.mode = mode;
    options.interventions = {{7, "tell 2 secret"}};
    return options;
  }

  // With a snapshot every 5 steps.
  sim::RunResult Run(Journal& journal, sim::RunOptions options, uint64_t timing) {
    sim::HashLlm backend(timing);
    JournaledLlm llm(backend, journal);
    SnapshotWriter writer(journal, world_, 5);
    options.observers.push_back(&journal);
    options.snapshots = &writer;
    journal.StartSession();
    const sim::RunResult result = sim::RunWorld(world_, llm, options);
    journal.SetHash(result.hash);
    journal.EndSession("done");
    replayed_ = llm.NumReplayed();
    asked_ = llm.NumAsked();
    return result;
  }

  std::unique_ptr<Journal> Fork(const std::string& name, sim::Step at, const std::string& seeds = "0") {
    Manifest manifest = original_->GetManifest();
    manifest[JournalKeys::kSeed] = seeds;
    Journal::CreateFork(PathOf(name), *original_, at, manifest);
    return Journal::OpenToWrite(PathOf(name));
  }

  sim::RunResult ResumeFrom(Journal& journal, const sim::Snapshot* from, sim::Mode mode) {
    const sim::Seeds seeds = journal.GetSeeds();
    sim::RunOptions options = Options(mode);
    options.seed = seeds.first;
    options.seed_changes = seeds.changes;
    options.interventions = journal.Interventions();
    options.from = from;
    journal.Continue({}, world_, options, "hash");
    return Run(journal, options, 5);
  }

  static std::vector<sim::Step> StepsOf(const Journal& journal) {
    std::vector<sim::Step> steps;
    for (const SnapshotRow& row : journal.Snapshots()) steps.push_back(row.step);
    return steps;
  }

  std::filesystem::path dir_;
  sim::WalkerWorld world_{sim::WalkerOptions{}};
  std::unique_ptr<Journal> original_;
  sim::RunResult whole_;
  uint64_t replayed_ = 0;
  uint64_t asked_ = 0;
};

TEST_F(JournalSnapshotTest, AForkGoesOnFromTheNearestOneBeforeIt) {
  EXPECT_THAT(StepsOf(*original_), ElementsAre(5, 10, 15, 20));
  int number = 0;
  for (const sim::Mode mode :
       {sim::Mode::kSingle, sim::Mode::kLockstep, sim::Mode::kOutOfOrder, sim::Mode::kSpeculative}) {
    const auto fork = Fork(fmt::format("fork{}", ++number), 12);
    EXPECT_THAT(StepsOf(*fork), ElementsAre(5, 10));
    const FoundSnapshot found = FindSnapshot(*fork, world_, kSteps);
    EXPECT_EQ(found.problem, "");
    ASSERT_TRUE(found.snapshot);
    EXPECT_EQ(found.snapshot->step, 10);
    const int64_t kept =
        std::stoll(fork->GetDatabase().TextOf("SELECT count(*) FROM answers WHERE step >= 10"));
    EXPECT_EQ(ResumeFrom(*fork, &*found.snapshot, mode).hash, whole_.hash);
    EXPECT_EQ(replayed_, static_cast<uint64_t>(kept));
    EXPECT_EQ(fork->CanonicalDigest(), original_->CanonicalDigest());
    EXPECT_EQ(fork->NumAnswers(), original_->NumAnswers());
  }
}

TEST_F(JournalSnapshotTest, AForkWithAnotherSeedIsTheSameWithAndWithoutOne) {
  const auto with = Fork("with", 12, "0,9@12");
  const auto without = Fork("without", 12, "0,9@12");
  const FoundSnapshot found = FindSnapshot(*with, world_, kSteps);
  ASSERT_TRUE(found.snapshot);
  const sim::RunResult result = ResumeFrom(*with, &*found.snapshot, sim::Mode::kOutOfOrder);
  EXPECT_GT(asked_, 0u);
  EXPECT_NE(result.hash, whole_.hash);
  EXPECT_EQ(result.hash, ResumeFrom(*without, nullptr, sim::Mode::kOutOfOrder).hash);
  EXPECT_EQ(with->CanonicalDigest(), without->CanonicalDigest());
}

TEST_F(JournalSnapshotTest, TheNewestUsableOneUpToAStepIsFound) {
  EXPECT_EQ(FindSnapshot(*original_, world_, 14).snapshot->step, 10);
  EXPECT_FALSE(FindSnapshot(*original_, world_, 4).snapshot);
  EXPECT_EQ(FindSnapshot(*original_, world_, 4).problem, "");
}

TEST_F(JournalSnapshotTest, DamagedAndForeignOnesArePassedOverNamingTheNewest) {
  Database& database = original_->GetDatabase();
  database.Execute("UPDATE snapshot_parts SET content = zeroblob(length(content)) WHERE step = 20");
  FoundSnapshot found = FindSnapshot(*original_, world_, kSteps);
  ASSERT_TRUE(found.snapshot);
  EXPECT_EQ(found.snapshot->step, 15);
  EXPECT_THAT(found.problem, HasSubstr("the snapshot of step 20 cannot be used: its"));
  database.Execute("DELETE FROM snapshot_parts WHERE step = 15");
  EXPECT_EQ(FindSnapshot(*original_, world_, kSteps).snapshot->step, 10);
  database.Execute("UPDATE snapshots SET program = '0.0.1 (old)' WHERE step = 10");
  EXPECT_EQ(FindSnapshot(*original_, world_, kSteps).snapshot->step, 5);
  EXPECT_THAT(FindSnapshot(*original_, world_, 10).problem, HasSubstr("written by throng 0.0.1 (old)"));
  database.Execute("UPDATE snapshots SET minds = 'walker 0'");
  found = FindSnapshot(*original_, world_, 5);
  EXPECT_FALSE(found.snapshot);
  EXPECT_THAT(found.problem, HasSubstr("\"walker 0\", and the world reads \"walker 1\""));
}

// A journal whose steps are others than those that led to the snapshot.
TEST_F(JournalSnapshotTest, OneThatDoesNotFollowFromTheStepsIsPassedOver) {
  original_->GetDatabase().Execute("UPDATE hashes SET hash = zeroblob(16) WHERE step = 12");
  const FoundSnapshot found = FindSnapshot(*original_, world_, kSteps);
  EXPECT_EQ(found.snapshot->step, 10);
  EXPECT_THAT(found.problem, HasSubstr("it does not follow from the steps before step 20"));
}

TEST_F(JournalSnapshotTest, ARunThatEndsEarlierDropsThoseOfLaterSteps) {
  original_->EndAt(12);
  EXPECT_THAT(StepsOf(*original_), ElementsAre(5, 10));
  EXPECT_EQ(original_->GetDatabase().TextOf("SELECT max(step) FROM snapshot_parts"), "10");
}

TEST_F(JournalSnapshotTest, LargeOnesAreKeptInParts) {
  std::string bytes(size_t{40} << 20, 'x');
  bytes[size_t{30} << 20] = '\0';
  original_->AddSnapshot(20, "walker 1", bytes);
  EXPECT_EQ(original_->GetDatabase().TextOf("SELECT count(*) FROM snapshot_parts WHERE step = 20"), "3");
  EXPECT_TRUE(original_->SnapshotBytes(original_->Snapshots().back()) == bytes);
}

TEST_F(JournalSnapshotTest, JournalsFromBeforeThereWereAnyAreReadAndGoOn) {
  original_->GetDatabase().Execute("DROP TABLE snapshots; DROP TABLE snapshot_parts");
  original_.reset();
  EXPECT_TRUE(Journal::OpenToRead(PathOf("original"))->Snapshots().empty());
  original_ = Journal::OpenToWrite(PathOf("original"));
  EXPECT_FALSE(FindSnapshot(*original_, world_, kSteps).snapshot);
  EXPECT_EQ(ResumeFrom(*original_, nullptr, sim::Mode::kOutOfOrder).hash, whole_.hash);
}

}  // namespace
}  // namespace throng::journal
