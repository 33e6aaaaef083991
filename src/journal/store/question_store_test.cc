#include "journal/store/question_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "base/rng.h"
#include "journal/journal.h"
#include "journal/read/export.h"
#include "journal/read/timeline.h"
#include "sim/testing/test_worlds.h"

namespace throng::journal {
namespace {

std::string Joined(const std::vector<std::string_view>& parts) {
  std::string text;
  for (const std::string_view part : parts) text += part;
  return text;
}

std::string RandomText(uint64_t seed, size_t size) {
  std::string text;
  for (size_t i = 0; i < size; ++i) text += static_cast<char>('a' + CounterRng(seed, i).NextBelow(26));
  return text;
}

TEST(CutIntoParts, PartsAreLinesAndTogetherTheText) {
  for (const std::string text : {"", "\n", "a", "a\n", "\n\na", "Name: Ada\nAge: 9\n", "a\r\nb"}) {
    EXPECT_EQ(Joined(CutIntoParts(text)), text);
  }
  EXPECT_EQ(CutIntoParts("Name: Ada\nAge: 9\nNext:").size(), 3u);
  EXPECT_EQ(CutIntoParts(std::string(200, 'x') + "\n").size(), 1u);
}

TEST(CutIntoParts, AnInsertionIntoALongLineChangesFewParts) {
  const std::string text = RandomText(1, 20000);
  const std::vector<std::string_view> parts = CutIntoParts(text);
  EXPECT_EQ(Joined(parts), text);
  EXPECT_GT(parts.size(), 50u);
  EXPECT_LT(parts.size(), 320u);
  std::string changed = text;
  changed.insert(9000, "something new");
  const std::vector<std::string_view> others = CutIntoParts(changed);
  EXPECT_EQ(Joined(others), changed);
  const std::set<std::string_view> known(parts.begin(), parts.end());
  const auto is_new = [&](std::string_view part) { return !known.contains(part); };
  EXPECT_LE(std::count_if(others.begin(), others.end(), is_new), 4);
}

TEST(CutIntoParts, CharactersStayWhole) {
  std::string text;
  while (text.size() < 5000) text += "\u65e5\u672c\u8a9e\u00e9\U0001F600";
  const std::vector<std::string_view> parts = CutIntoParts(text);
  EXPECT_EQ(Joined(parts), text);
  for (const std::string_view part : parts) EXPECT_NE(part[0] & 0xC0, 0x80);
}

class QuestionsInJournal : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = std::filesystem::temp_directory_path() / fmt::format("throng-question-test-{}", getpid());
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::unique_ptr<Journal> Begin(const std::string& name, bool keep_prompts = true) {
    std::unique_ptr<Journal> journal = Journal::Create(dir_ / name, {.keep_prompts = keep_prompts});
    sim::RunOptions options;
    options.steps = 100;
    journal->Begin({{"price", "1,2"}}, world_, options, "hash");
    journal->StartSession();
    return journal;
  }

  static llm::Request Question(uint32_t agent, int32_t step, uint32_t call = 0) {
    llm::Request request;
    request.key = {agent, step, call};
    request.function = "act";
    request.system = "Be brief.\n";
    request.prompt = fmt::format("Name: walker{}\nLikes: tea\nStep: {}\nNext:", agent, step);
    request.constraint.choices = {"park", "\"home\""};
    request.sampling.temperature = 0.8f;
    request.sampling.seed = uint64_t{1} << 63;
    request.stop = {"\n"};
    request.max_tokens = 8;
    return request;
  }

  static void Add(Journal& journal, const llm::Request& request, const std::string& answer) {
    llm::Completion completion;
    completion.key = request.key;
    completion.text = answer;
    completion.prompt_tokens = 1000;
    completion.output_tokens = 10;
    completion.attempts = 3;
    completion.spent_prompt_tokens = 2000;
    completion.spent_cached_tokens = 640;
    completion.spent_output_tokens = 20;
    completion.served_by = "some server/1.0 some-model";
    journal.AddAnswer(completion, journal.AddQuestion(request), 1.0, 1.5);
  }

  static std::vector<nlohmann::ordered_json> Calls(const Journal& journal, const CallFilter& filter = {}) {
    std::vector<nlohmann::ordered_json> calls;
    ForEachCall(journal, filter, [&](const nlohmann::ordered_json& call) { calls.push_back(call); });
    return calls;
  }

  std::filesystem::path dir_;
  sim::WalkerWorld world_{sim::WalkerOptions{}};
};

TEST_F(QuestionsInJournal, TheViewHasEverything) {
  const auto journal = Begin("a");
  const llm::Request request = Question(2, 7);
  Add(*journal, request, "park");
  const auto calls = Calls(*journal);
  ASSERT_EQ(calls.size(), 1u);
  const nlohmann::ordered_json& call = calls[0];
  EXPECT_EQ(call["name"], "walker2");
  EXPECT_EQ(call["prompt"], request.prompt);
  EXPECT_EQ(call["system"], request.system);
  EXPECT_EQ(call["answer"], "park");
  EXPECT_EQ(call["finish"], "stop");
  EXPECT_TRUE(call["error"].is_null());
  EXPECT_EQ(call["choices"], R"(["park","\"home\""])");
  EXPECT_TRUE(call["json_schema"].is_null());
  EXPECT_EQ(call["temperature"], 0.8);
  EXPECT_EQ(call["seed"], "9223372036854775808");
  EXPECT_EQ(call["stop"], R"(["\n"])");
  EXPECT_EQ(call["max_tokens"], 8);
  EXPECT_EQ(call["attempts"], 3);
  EXPECT_EQ(call["latency_s"], 0.5);
  EXPECT_EQ(call["served_by"], "some server/1.0 some-model");
  EXPECT_EQ(call["session"], 1);
  EXPECT_DOUBLE_EQ(call["cost"].get<double>(), (3000.0 * 1 + 30 * 2) / 1e6);
  EXPECT_EQ(call["digest"].get<std::string>().size(), 32u);
  // What a resumed run gets back.
  const llm::Completion again = journal->FindAnswer(request.key)->completion;
  EXPECT_EQ(again.attempts, 3);
  EXPECT_EQ(again.spent_output_tokens, 20);
  EXPECT_EQ(again.served_by, "some server/1.0 some-model");
}

TEST_F(QuestionsInJournal, FailuresComeBackAsTheyWere) {
  const auto journal = Begin("a");
  uint32_t agent = 0;
  for (const ErrorCode code : {ErrorCode::kBadAnswer, ErrorCode::kUnavailable, ErrorCode::kExhausted}) {
    const llm::Request request = Question(agent++, 1);
    llm::Completion failed;
    failed.key = request.key;
    failed.finish = llm::FinishReason::kError;
    failed.error = Error(code, "it says nothing of use");
    journal->AddAnswer(failed, journal->AddQuestion(request), 1.0, 1.5);
    const llm::Completion again = journal->FindAnswer(request.key)->completion;
    ASSERT_TRUE(again.error.has_value());
    EXPECT_EQ(again.error->Code(), code);
    EXPECT_EQ(again.error->what(), std::string("it says nothing of use"));
    EXPECT_EQ(Calls(*journal).back()["error_code"], ErrorCodeName(code));
    EXPECT_TRUE(Calls(*journal).back()["answer"].is_null());
  }
}

TEST_F(QuestionsInJournal, WhatRecursIsStoredOnceAlsoInLaterSessions) {
  const auto count = [](Journal& journal, const char* table) {
    return std::stoi(journal.GetDatabase().TextOf(fmt::format("SELECT count(*) FROM {}", table).c_str()));
  };
  auto journal = Begin("a");
  for (int step = 0; step < 5; ++step) Add(*journal, Question(1, step), "park");
  EXPECT_EQ(count(*journal, "parts"), 1 + 3 + 5);  // system; name, likes, next; a line per step
  EXPECT_EQ(count(*journal, "settings"), 1);
  EXPECT_EQ(count(*journal, "servers"), 1);
  journal.reset();
  journal = Journal::OpenToWrite(dir_ / "a");
  for (int step = 5; step < 8; ++step) Add(*journal, Question(1, step), "park");
  EXPECT_EQ(count(*journal, "parts"), 1 + 3 + 8);
  EXPECT_EQ(count(*journal, "servers"), 1);
  for (const auto& call : Calls(*journal)) {
    EXPECT_EQ(call["prompt"], Question(1, call["step"].get<int>()).prompt);
  }
}

TEST_F(QuestionsInJournal, PromptsCanBeLeftOut) {
  auto journal = Begin("a", false);
  Add(*journal, Question(1, 0), "park");
  journal.reset();
  journal = Journal::OpenToWrite(dir_ / "a");
  EXPECT_EQ(journal->ManifestValue("prompts"), "off");
  Add(*journal, Question(1, 1), "park");
  for (const auto& call : Calls(*journal)) {
    EXPECT_TRUE(call["prompt"].is_null() && call["system"].is_null());
    EXPECT_EQ(call["max_tokens"], 8);
  }
  EXPECT_EQ(journal->GetDatabase().TextOf("SELECT count(*) FROM parts"), "0");
}

TEST_F(QuestionsInJournal, CallsSayWhichMemoriesTheirPromptsHold) {
  for (const bool keep_prompts : {true, false}) {
    const std::string name = keep_prompts ? "a" : "b";
    auto journal = Begin(name, keep_prompts);
    llm::Request request = Question(1, 6);
    request.memories = {{2, "Ben said: hello.\nTwice.", 17}, {5, "It rains."}};
    const Digest digest = journal->AddQuestion(request).digest;
    EXPECT_EQ(digest, journal->AddQuestion(Question(1, 6)).digest);
    Add(*journal, request, "park");
    Add(*journal, Question(1, 6, 1), "park");
    const auto calls = Calls(*journal);
    ASSERT_EQ(calls.size(), 2u);
    const nlohmann::ordered_json& memories = calls[0]["memories"];
    ASSERT_EQ(memories.size(), 2u);
    EXPECT_EQ(memories[0]["made"], 2);
    EXPECT_EQ(memories[0]["memory"], 17);
    EXPECT_EQ(memories[1]["made"], 5);
    EXPECT_TRUE(memories[1]["memory"].is_null());
    if (keep_prompts) {
      EXPECT_EQ(memories[0]["text"], "Ben said: hello.\nTwice.");
      EXPECT_EQ(memories[1]["text"], "It rains.");
    } else {
      EXPECT_TRUE(memories[0]["text"].is_null());
      EXPECT_EQ(journal->GetDatabase().TextOf("SELECT count(*) FROM parts"), "0");
    }
    EXPECT_TRUE(calls[1]["memories"].empty());
    for (int step = 0; step < 9; ++step) journal->OnStep(step, {});
    journal->Flush();
    Journal::CreateFork(dir_ / (name + "-early"), *journal, 6, journal->GetManifest());
    EXPECT_EQ(
        Journal::OpenToRead(dir_ / (name + "-early"))->GetDatabase().TextOf("SELECT count(*) FROM memories"),
        "0");
    Journal::CreateFork(dir_ / (name + "-late"), *journal, 7, journal->GetManifest());
    EXPECT_EQ(Calls(*Journal::OpenToRead(dir_ / (name + "-late")))[0]["memories"], memories);
    std::string lines;
    ExportJsonLines(*journal, "memories", false, [&](std::string_view line) { lines += line; });
    EXPECT_EQ(lines.substr(0, lines.find(R"("text")")),
              R"({"step":6,"agent":1,"name":"walker1","call":0,"seq":0,"made":2,"memory":17,)");
  }
}

TEST_F(QuestionsInJournal, TheViewHasGrammarsAndExpressions) {
  const auto journal = Begin("a");
  llm::Request request = Question(1, 0);
  request.constraint = {.choices = {}, .json_schema = {}, .grammar = "root ::= [a-z]+", .regex = {}};
  Add(*journal, request, "park");
  request = Question(1, 1);
  request.constraint = {.choices = {}, .json_schema = {}, .grammar = "root ::= [0-9]+", .regex = {}};
  Add(*journal, request, "7");
  request = Question(1, 2);
  request.constraint = {.choices = {}, .json_schema = {}, .grammar = {}, .regex = "^p"};
  Add(*journal, request, "park");
  Add(*journal, Question(1, 3), "park");
  const auto calls = Calls(*journal);
  ASSERT_EQ(calls.size(), 4u);
  EXPECT_EQ(calls[0]["grammar"], "root ::= [a-z]+");
  EXPECT_EQ(calls[1]["grammar"], "root ::= [0-9]+");
  EXPECT_TRUE(calls[1]["regex"].is_null());
  EXPECT_EQ(calls[2]["regex"], "^p");
  EXPECT_TRUE(calls[3]["grammar"].is_null() && calls[3]["regex"].is_null());
  for (int step = 0; step < 4; ++step) journal->OnStep(step, {});
  Journal::CreateFork(dir_ / "fork", *journal, 1, journal->GetManifest());
  EXPECT_EQ(Calls(*Journal::OpenToRead(dir_ / "fork")).at(0)["grammar"], "root ::= [a-z]+");
}

TEST_F(QuestionsInJournal, JournalsFromBeforeGrammarsCanBeReadAndGoneOnWith) {
  auto journal = Begin("a");
  Add(*journal, Question(1, 0), "park");
  journal->OnStep(0, {});
  journal->Flush();
  journal->GetDatabase().Execute(
      "DROP VIEW effects; DROP TABLE intentions; DROP VIEW calls; DROP TABLE constraints; CREATE VIEW calls "
      "AS "
      "SELECT step, agent, call FROM answers");
  journal.reset();
  const auto old = Journal::OpenToRead(dir_ / "a");
  EXPECT_TRUE(Calls(*old).at(0)["grammar"].is_null());
  EXPECT_EQ(Calls(*old).at(0)["answer"], "park");
  ExportSqlite(*old, dir_ / "plain");
  EXPECT_EQ(Database(dir_ / "plain", Access::kRead).TextOf("SELECT count(*) FROM calls WHERE regex IS NULL"),
            "1");
  journal = Journal::OpenToWrite(dir_ / "a");
  llm::Request request = Question(1, 1);
  request.constraint = {.choices = {}, .json_schema = {}, .grammar = {}, .regex = "p.*"};
  Add(*journal, request, "park");
  EXPECT_EQ(Calls(*journal).at(1)["regex"], "p.*");
}

TEST_F(QuestionsInJournal, JournalsFromBeforeEffectsCanBeReadAndGoneOnWith) {
  auto journal = Begin("a");
  llm::Request request = Question(1, 0);
  request.constraint = {.choices = {}, .json_schema = {}, .grammar = {}, .regex = "p.*"};
  Add(*journal, request, "park");
  journal->Flush();
  journal->GetDatabase().Execute(
      "DROP VIEW effects; DROP TABLE intentions; DROP VIEW calls; CREATE VIEW calls AS "
      "SELECT step, agent, call FROM answers");
  journal.reset();
  for (const bool reads : {true, false}) {
    const auto old = reads ? Journal::OpenToRead(dir_ / "a") : Journal::OpenToWrite(dir_ / "a");
    EXPECT_EQ(Calls(*old).at(0)["regex"], "p.*");
    EXPECT_EQ(old->GetDatabase().TextOf("SELECT count(*) FROM effects"), "0");
  }
}

TEST_F(QuestionsInJournal, OfAttemptsThatWereNotTakenTheCachedTokensAreKept) {
  const auto journal = Begin("a");
  Add(*journal, Question(1, 0), "park");
  EXPECT_EQ(Calls(*journal).at(0)["spent_cached_tokens"], 640);
  EXPECT_EQ(journal->FindAnswer({1, 0, 0})->completion.spent_cached_tokens, 640);
  EXPECT_EQ(CallsBetween(*journal, 0, 1).at(0).cached_tokens, 640);
  journal->OnStep(0, {});
  Journal::CreateFork(dir_ / "fork", *journal, 1, journal->GetManifest());
  EXPECT_EQ(Calls(*Journal::OpenToRead(dir_ / "fork")).at(0)["spent_cached_tokens"], 640);
}

TEST_F(QuestionsInJournal, JournalsFromBeforeSpentCachedTokensCanBeReadAndGoneOnWith) {
  auto journal = Begin("a");
  Add(*journal, Question(1, 0), "park");
  journal->Flush();
  journal->GetDatabase().Execute(
      "DROP VIEW calls; DROP TABLE spent_cached; CREATE VIEW calls AS SELECT step, agent, call FROM answers");
  journal.reset();
  for (const bool reads : {true, false}) {
    const auto old = reads ? Journal::OpenToRead(dir_ / "a") : Journal::OpenToWrite(dir_ / "a");
    EXPECT_EQ(Calls(*old).at(0)["spent_cached_tokens"], 0);
    EXPECT_EQ(old->FindAnswer({1, 0, 0})->completion.spent_cached_tokens, 0);
  }
  journal = Journal::OpenToWrite(dir_ / "a");
  Add(*journal, Question(1, 1), "park");
  EXPECT_EQ(Calls(*journal).at(1)["spent_cached_tokens"], 640);
}

// The table came after files of this format were in use.
TEST_F(QuestionsInJournal, JournalsFromBeforeMemoriesCanBeReadForkedAndGoneOnWith) {
  auto journal = Begin("a");
  Add(*journal, Question(1, 0), "park");
  journal->OnStep(0, {});
  journal->Flush();
  journal->GetDatabase().Execute("DROP VIEW memories; DROP TABLE used_memories");
  journal.reset();
  const auto old = Journal::OpenToRead(dir_ / "a");
  EXPECT_EQ(Calls(*old).at(0)["memories"].size(), 0u);
  std::string csv;
  ExportCsv(*old, "memories", [&](std::string_view line) { csv += line; });
  EXPECT_EQ(csv, "step,agent,name,call,seq,made,memory,text\r\n");
  ExportSqlite(*old, dir_ / "plain");
  EXPECT_EQ(Database(dir_ / "plain", Access::kRead).TextOf("SELECT count(*) FROM memories"), "0");
  Journal::CreateFork(dir_ / "fork", *old, 1, old->GetManifest());
  EXPECT_EQ(Calls(*Journal::OpenToRead(dir_ / "fork")).size(), 1u);
  journal = Journal::OpenToWrite(dir_ / "a");
  llm::Request request = Question(1, 1);
  request.memories = {{0, "It rains."}};
  Add(*journal, request, "park");
  EXPECT_EQ(Calls(*journal).at(1)["memories"].at(0)["text"], "It rains.");
}

TEST_F(QuestionsInJournal, ForksTakeThePromptsOfTheirPast) {
  const auto journal = Begin("a");
  for (int step = 0; step < 6; ++step) Add(*journal, Question(1, step), "park");
  for (int step = 0; step < 6; ++step) journal->OnStep(step, {});
  Journal::CreateFork(dir_ / "fork", *journal, 3, journal->GetManifest());
  const auto fork = Journal::OpenToRead(dir_ / "fork");
  const auto calls = Calls(*fork);
  ASSERT_EQ(calls.size(), 3u);
  EXPECT_EQ(calls[2]["prompt"], Question(1, 2).prompt);
  EXPECT_EQ(calls[2]["system"], Question(1, 2).system);
  EXPECT_EQ(calls[2]["temperature"], 0.8);
  EXPECT_EQ(fork->GetDatabase().TextOf("SELECT count(*) FROM parts"), "7");
}

TEST_F(QuestionsInJournal, CallsCanBePickedOut) {
  const auto journal = Begin("a");
  for (uint32_t agent = 0; agent < 3; ++agent) {
    for (int step = 0; step < 4; ++step) Add(*journal, Question(agent, step), "park");
  }
  EXPECT_EQ(Calls(*journal, {.agent = 1}).size(), 4u);
  EXPECT_EQ(Calls(*journal, {.from = 1, .to = 3}).size(), 6u);
  EXPECT_EQ(Calls(*journal, {.agent = 2, .from = 3}).size(), 1u);
  EXPECT_EQ(Calls(*journal, {.function = "act"}).size(), 12u);
  EXPECT_TRUE(Calls(*journal, {.function = "say"}).empty());
}

TEST_F(QuestionsInJournal, AnSqliteExportHasPlainTablesOfTheViews) {
  const auto journal = Begin("a");
  Add(*journal, Question(1, 0), "park");
  journal->AddDatum(0, 1, "wealth", 2.5);
  journal->Flush();
  const std::string path = dir_ / "plain.sqlite";
  ExportSqlite(*journal, path);
  Database plain(path, Access::kRead);
  EXPECT_EQ(plain.TextOf("SELECT prompt FROM calls"), Question(1, 0).prompt);
  EXPECT_EQ(plain.TextOf("SELECT type FROM sqlite_master WHERE name = 'calls'"), "table");
  EXPECT_EQ(plain.TextOf("SELECT agent_name || value FROM agent_data"), "walker12.5");
  EXPECT_EQ(plain.TextOf("SELECT calls FROM agent_usage WHERE agent = 1"), "1");
  EXPECT_THROW(ExportSqlite(*journal, path), Error);
}

}  // namespace
}  // namespace throng::journal
