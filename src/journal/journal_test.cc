#include "journal/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "journal/llm/journaled_llm.h"
#include "journal/store/database.h"
#include "sim/testing/test_worlds.h"

namespace throng::journal {
namespace {

using ::testing::HasSubstr;

class JournalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = std::filesystem::temp_directory_path() / fmt::format("throng-journal-test-{}", getpid());
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::string PathOf(const std::string& name) const { return dir_ / name; }

  static sim::RunOptions Options() {
    sim::RunOptions options;
    options.steps = 10;
    options.seed = 7;
    return options;
  }

  // Runs `world` on this journal, from its start or again.
  static sim::RunResult RunOn(Journal& journal, const sim::World& world, sim::HashLlm& backend,
                              sim::RunOptions options, uint64_t* asked) {
    JournaledLlm llm(backend, journal);
    options.observers.push_back(&journal);
    journal.StartSession();
    const sim::RunResult result = sim::RunWorld(world, llm, options);
    journal.SetHash(result.hash);
    journal.EndSession("done");
    if (asked != nullptr) *asked = llm.NumAsked();
    return result;
  }

  std::string ErrorOfOpening(const std::string& path) {
    try {
      Journal::OpenToWrite(path);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  std::filesystem::path dir_;
  sim::WalkerWorld world_{sim::WalkerOptions{}};
};

TEST_F(JournalTest, ResumesAfterFailuresWithoutAskingTwice) {
  sim::HashLlm whole(1);
  auto reference = Journal::Create(PathOf("whole"));
  reference->Begin({}, world_, Options(), whole.Identity());
  const sim::RunResult expected = RunOn(*reference, world_, whole, Options(), nullptr);

  for (const uint64_t fail_at : {0, 1, 17, 40, 60}) {
    const std::string path = PathOf(fmt::format("failed{}", fail_at));
    sim::HashLlm failing(2);
    failing.FailAt(fail_at);
    int64_t answers = 0;
    {
      auto journal = Journal::Create(path);
      journal->Begin({}, world_, Options(), failing.Identity());
      EXPECT_THROW(RunOn(*journal, world_, failing, Options(), nullptr), Error);
      answers = journal->NumAnswers();
    }
    auto journal = Journal::OpenToWrite(path);
    EXPECT_EQ(journal->NumAnswers(), answers);
    sim::HashLlm backend(3);
    journal->Continue({}, world_, Options(), backend.Identity());
    uint64_t asked = 0;
    sim::RunOptions options = Options();
    options.mode = fail_at == 17 ? sim::Mode::kSingle : sim::Mode::kOutOfOrder;
    const sim::RunResult result = RunOn(*journal, world_, backend, options, &asked);
    EXPECT_EQ(result.hash, expected.hash);
    EXPECT_EQ(asked, expected.stats.calls - static_cast<uint64_t>(answers));
    EXPECT_EQ(backend.GetStats().calls, asked);
    EXPECT_EQ(journal->CanonicalDigest(), reference->CanonicalDigest());
    EXPECT_EQ(journal->NumSteps(), 10);
  }
}

TEST_F(JournalTest, ACompleteRunIsReadableByOthersWhileOpen) {
  sim::HashLlm backend(1);
  auto journal = Journal::Create(PathOf("a"));
  journal->Begin({{"extra", "value"}}, world_, Options(), backend.Identity());
  const sim::RunResult result = RunOn(*journal, world_, backend, Options(), nullptr);
  const auto reader = Journal::OpenToRead(PathOf("a"));
  EXPECT_EQ(reader->ManifestValue("extra"), "value");
  EXPECT_EQ(reader->ManifestValue("hash"), result.hash.Hex());
  EXPECT_EQ(reader->NumAnswers(), static_cast<int64_t>(result.stats.calls));
  EXPECT_EQ(reader->CanonicalDigest(), journal->CanonicalDigest());
  EXPECT_GT(std::stoi(reader->GetDatabase().TextOf("SELECT count(*) FROM conversations")), 0);
}

TEST_F(JournalTest, AnotherWriterIsRefused) {
  sim::HashLlm backend(1);
  auto journal = Journal::Create(PathOf("a"));
  journal->Begin({}, world_, Options(), backend.Identity());
  EXPECT_THAT(ErrorOfOpening(PathOf("a")), HasSubstr("another running program writes it"));
  EXPECT_THROW(Journal::Create(PathOf("a")), Error);
  journal.reset();
  EXPECT_EQ(ErrorOfOpening(PathOf("a")), "no error");
}

TEST_F(JournalTest, AnotherWorldSeedOrBackendIsRefused) {
  sim::HashLlm backend(1);
  auto journal = Journal::Create(PathOf("a"));
  journal->Begin({}, world_, Options(), backend.Identity());
  EXPECT_NO_THROW(journal->Continue({}, world_, Options(), "hash"));
  EXPECT_THROW(journal->Continue({}, world_, Options(), "another"), Error);
  sim::RunOptions options = Options();
  options.seed = 8;
  EXPECT_THROW(journal->Continue({}, world_, options, "hash"), Error);
  options = Options();
  options.steps -= 1;
  EXPECT_THROW(journal->Continue({}, world_, options, "hash"), Error);
  sim::WalkerOptions walkers;
  walkers.seed = 3;
  EXPECT_THROW(journal->Continue({}, sim::WalkerWorld(walkers), Options(), "hash"), Error);
}

TEST_F(JournalTest, AChangedScenarioIsNoticedAtTheFirstDifferentQuestion) {
  sim::HashLlm backend(1);
  auto journal = Journal::Create(PathOf("a"));
  journal->Begin({}, world_, Options(), backend.Identity());
  RunOn(*journal, world_, backend, Options(), nullptr);
  sim::WalkerOptions walkers;
  walkers.seed = 3;
  try {
    RunOn(*journal, sim::WalkerWorld(walkers), backend, Options(), nullptr);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("has changed since"));
  }
}

TEST_F(JournalTest, ForeignEmptyDamagedAndNewerFilesAreRefused) {
  EXPECT_THAT(ErrorOfOpening(PathOf("missing")), HasSubstr("No such file"));
  std::ofstream(PathOf("empty")).close();
  EXPECT_THAT(ErrorOfOpening(PathOf("empty")), HasSubstr("the run had not begun"));
  EXPECT_THAT(ErrorOfOpening(PathOf("empty")), HasSubstr(PathOf("empty-wal")));
  std::ofstream(PathOf("text")) << std::string(5000, 'x');
  EXPECT_THAT(ErrorOfOpening(PathOf("text")), HasSubstr("is not a journal"));

  sim::HashLlm backend(1);
  auto journal = Journal::Create(PathOf("a"));
  journal->Begin({}, world_, Options(), backend.Identity());
  RunOn(*journal, world_, backend, Options(), nullptr);
  journal.reset();
  std::filesystem::copy_file(PathOf("a"), PathOf("newer"));
  Database(PathOf("newer"), Access::kBeside).Execute("PRAGMA user_version=99");
  EXPECT_THAT(ErrorOfOpening(PathOf("newer")), HasSubstr("format 99"));
  std::filesystem::copy_file(PathOf("a"), PathOf("foreign"));
  Database(PathOf("foreign"), Access::kBeside).Execute("PRAGMA application_id=1");
  EXPECT_THAT(ErrorOfOpening(PathOf("foreign")), HasSubstr("is not a journal"));
  std::ofstream(PathOf("other")).close();
  Database(PathOf("other"), Access::kBeside).Execute("CREATE TABLE t(x)");
  EXPECT_THAT(ErrorOfOpening(PathOf("other")), HasSubstr("is not a journal"));
  EXPECT_EQ(Database(PathOf("other"), Access::kBeside).TextOf("PRAGMA journal_mode"),
            "delete");  // left as it was
  for (const uintmax_t size : {200, 5000, 20000}) {
    std::filesystem::copy_file(PathOf("a"), PathOf("cut"), std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(PathOf("cut"), size);
    EXPECT_THAT(ErrorOfOpening(PathOf("cut")),
                ::testing::AnyOf(HasSubstr("is damaged"), HasSubstr("is not a journal")));
  }
}

}  // namespace
}  // namespace throng::journal
