#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "journal/journal.h"
#include "journal/llm/journaled_llm.h"
#include "journal/read/export.h"
#include "journal/read/report.h"
#include "sim/testing/test_worlds.h"

namespace throng::journal {
namespace {

using ::testing::HasSubstr;

constexpr sim::Step kSteps = 12;

class JournalForkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = std::filesystem::temp_directory_path() / fmt::format("throng-fork-test-{}", getpid());
    std::filesystem::create_directories(dir_);
    original_ = Journal::Create(PathOf("original"));
    sim::RunOptions options;
    options.steps = kSteps;
    options.seed = 7;
    sim::HashLlm backend(1);
    original_->Begin({{JournalKeys::kSecondsPerStep, "600"}}, world_, options, backend.Identity());
    result_ = Run(*original_, backend, options);
  }
  void TearDown() override {
    original_.reset();
    std::filesystem::remove_all(dir_);
  }

  std::string PathOf(const std::string& name) const { return dir_ / name; }

  std::unique_ptr<Journal> Fork(const Journal& from, const std::string& name, sim::Step at,
                                const std::string& seeds) {
    Manifest manifest = from.GetManifest();
    manifest[JournalKeys::kSeed] = seeds;
    Journal::CreateFork(PathOf(name), from, at, manifest);
    return Journal::OpenToWrite(PathOf(name));
  }

  sim::RunResult Run(Journal& journal, llm::Llm& backend, sim::RunOptions options) {
    JournaledLlm llm(backend, journal);
    options.observers.push_back(&journal);
    journal.StartSession();
    const sim::RunResult result = sim::RunWorld(world_, llm, options);
    journal.SetHash(result.hash);
    journal.EndSession("done");
    replayed_ = llm.NumReplayed();
    return result;
  }

  sim::RunResult Resume(Journal& journal) {
    const sim::Seeds seeds = journal.GetSeeds();
    sim::RunOptions options;
    options.steps = kSteps;
    options.seed = seeds.first;
    options.seed_changes = seeds.changes;
    sim::HashLlm backend(5);
    journal.Continue({}, world_, options, backend.Identity());
    return Run(journal, backend, options);
  }

  std::filesystem::path dir_;
  sim::WalkerWorld world_{sim::WalkerOptions{}};
  std::unique_ptr<Journal> original_;
  sim::RunResult result_;
  uint64_t replayed_ = 0;
};

TEST_F(JournalForkTest, AnUnchangedForkComesOutAsTheOriginal) {
  for (const sim::Step at : {0, 5, kSteps}) {
    const auto fork = Fork(*original_, fmt::format("fork{}", at), at, "7");
    EXPECT_EQ(fork->NumSteps(), at);
    const uint64_t kept = static_cast<uint64_t>(fork->NumAnswers());
    EXPECT_EQ(Resume(*fork).hash, result_.hash);
    EXPECT_EQ(replayed_, kept);
    EXPECT_EQ(fork->CanonicalDigest(), original_->CanonicalDigest());
  }
}

TEST_F(JournalForkTest, AnotherSeedChangesWhatComesAfterTheForkAlone) {
  const auto fork = Fork(*original_, "fork", 5, "7,8@5");
  const sim::RunResult other = Resume(*fork);
  EXPECT_NE(other.hash, result_.hash);
  for (size_t step = 0; step < 5; ++step) EXPECT_EQ(other.step_hashes[step], result_.step_hashes[step]);
  EXPECT_NE(other.step_hashes[5], result_.step_hashes[5]);

  // The same again without a journal, from the start: what the fork did is what those seeds mean.
  sim::RunOptions options;
  options.steps = kSteps;
  options.seed = 7;
  options.seed_changes = {{5, 8}};
  options.mode = sim::Mode::kLockstep;
  sim::HashLlm backend(3);
  EXPECT_EQ(sim::RunWorld(world_, backend, options).hash, other.hash);

  const auto second = Fork(*fork, "second", 9, "7,8@5");
  EXPECT_EQ(Resume(*second).hash, other.hash);
}

TEST_F(JournalForkTest, AForkBeyondTheJournalIsRefusedAndLeavesNothing) {
  try {
    Fork(*original_, "beyond", kSteps + 1, "7");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("allowed: 0 to 12"));
  }
  EXPECT_FALSE(std::filesystem::exists(PathOf("beyond")));
}

TEST_F(JournalForkTest, SeedsAreWrittenAndReadAlike) {
  for (const char* text : {"0", "18446744073709551615", "1,7@500", "1,7@500,9@800"}) {
    EXPECT_EQ(sim::FormatSeeds(sim::ParseSeeds(text)), text);
  }
  for (const char* text : {"", "x", "1,", "1,7", "1,7@", "1,@5", "1,7@-5", "1,7@9,8@5", "1 ", "1;2"}) {
    EXPECT_THROW(sim::ParseSeeds(text), Error) << text;
  }
  const sim::Seeds seeds = sim::ParseSeeds("1,7@5,9@8");
  EXPECT_EQ(sim::SeedAt(seeds, 4), 1u);
  EXPECT_EQ(sim::SeedAt(seeds, 5), 7u);
  EXPECT_EQ(sim::SeedAt(seeds, 8), 9u);
}

TEST_F(JournalForkTest, TheReportAddsUp) {
  const JournalReport report = Inspect(*original_);
  EXPECT_EQ(report.steps, kSteps);
  EXPECT_EQ(report.answers, static_cast<int64_t>(result_.stats.calls));
  EXPECT_DOUBLE_EQ(report.bytes_per_hour, static_cast<double>(report.bytes) / 2);  // 12 steps of 10 minutes
  ASSERT_EQ(report.hours.size(), 2u);
  EXPECT_EQ(report.hours[0].calls + report.hours[1].calls, report.answers);
  EXPECT_EQ(report.hours[0].commits + report.hours[1].commits, report.commits);
  ASSERT_EQ(report.functions.size(), 2u);
  EXPECT_EQ(report.functions[0].name, "say");
  EXPECT_EQ(report.functions[0].calls + report.functions[1].calls, report.answers);
  ASSERT_EQ(report.sessions.size(), 1u);
  EXPECT_EQ(report.sessions[0].outcome, "done");
}

TEST_F(JournalForkTest, ExportsHaveEveryRowOnce) {
  std::set<std::string> lines;
  ExportJsonLines(*original_, "calls", false, [&](std::string_view line) {
    const auto json = nlohmann::json::parse(line);
    EXPECT_TRUE(json["step"].is_number_integer());
    EXPECT_EQ(json["digest"].get<std::string>().size(), 32u);
    lines.emplace(line);
  });
  EXPECT_EQ(lines.size(), result_.stats.calls);
  original_->SetHash(result_.hash);
  std::string csv;
  ExportCsv(*original_, "steps", [&](std::string_view text) { csv += text; });
  EXPECT_THAT(csv, ::testing::StartsWith("step,hash\r\n0," + result_.step_hashes[0].Hex() + "\r\n1,"));
  EXPECT_THROW(ExportCsv(*original_, "nothing", [](std::string_view) {}), Error);
}

}  // namespace
}  // namespace throng::journal
