#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "journal/llm/journaled_llm.h"
#include "journal/people.h"
#include "journal/read/reader.h"
#include "serve/run/positions.h"
#include "serve/testing/server_rig.h"
#include "sim/testing/test_worlds.h"

namespace throng::serve {
namespace {

using ::testing::HasSubstr;

class RunApiTest : public ServerTest {
 protected:
  void SetUp() override {
    path_ = std::filesystem::temp_directory_path() / fmt::format("throng-serve-test-{}.journal", getpid());
    std::filesystem::remove(path_);
    sim::RunOptions options;
    options.steps = 20;
    const sim::WalkerWorld world{sim::WalkerOptions{}};
    sim::HashLlm backend(1);
    const auto journal = journal::Journal::Create(path_);
    journal->Begin({}, world, options, backend.Identity());
    journal::JournaledLlm llm(backend, *journal);
    options.observers.push_back(journal.get());
    const sim::RunResult result = sim::RunWorld(world, llm, options);
    journal->SetHash(result.hash);
    num_agents_ = world.NumAgents();
  }
  void TearDown() override {
    ServerTest::TearDown();
    for (const char* suffix : {"", "-wal", "-shm", ".lock"}) std::filesystem::remove(path_.string() + suffix);
  }

  std::filesystem::path path_;
  uint32_t num_agents_ = 0;
};

TEST_F(RunApiTest, ShowsTheJournal) {
  StartServer({.runs = {{.journal = path_, .map_json = R"({"width":3})"}}}, nullptr);
  const Json info = Json::parse(Get("/api/run").second);
  EXPECT_EQ(info["steps"], 20);
  EXPECT_EQ(info["agents"].size(), num_agents_);
  EXPECT_EQ(info["manifest"]["steps"], "20");
  EXPECT_EQ(info["may_inject"], false);
  EXPECT_EQ(info["has_minds"], false);
  EXPECT_TRUE(Json::parse(Get("/api/steps?from=7&to=7").second)["events"].empty());
  EXPECT_TRUE(Json::parse(Get("/api/steps?from=5&to=20").second)["presence"].empty());
  EXPECT_EQ(Get("/api/map").second, R"({"width":3})");
  EXPECT_EQ(Get("/api/mind?agent=0&step=0").first, 404);
  EXPECT_EQ(Get("/api/difference").first, 404);
  EXPECT_EQ(Get("/api/run?run=1").first, 404);
  for (const char* path : {"/api/steps?", "/api/positions?", "/api/calls?"}) {
    for (const char* query :
         {"from=-1", "from=x", "from=9&to=8", "from=0&to=1001", "from=99999999999999999999"}) {
      EXPECT_EQ(Get(std::string(path) + query).first, 400) << path << query;
    }
  }
  EXPECT_EQ(Post(kChat, ChatBody()).first, 503);
  EXPECT_EQ(Get("/v1/models").first, 503);
}

TEST_F(RunApiTest, GivesPositionsOfARange) {
  StartServer({.runs = {{.journal = path_}}}, nullptr);
  const auto reply = MakeClient().Get("/api/positions?from=5&to=20");
  EXPECT_EQ(reply->get_header_value("Content-Type"), "application/octet-stream");
  const auto bodies = journal::Reader(*journal::Journal::OpenToRead(path_)).Bodies(5, 20);
  EXPECT_FALSE(bodies.empty());
  EXPECT_EQ(reply->body, PackPositions(5, 20, bodies));
}

TEST_F(RunApiTest, TellsOfCalls) {
  StartServer({.runs = {{.journal = path_}}}, nullptr);
  const Json calls = Json::parse(Get("/api/calls?from=0&to=20").second)["calls"];
  ASSERT_FALSE(calls.empty());
  const Json& first = calls[0];
  const Json call = Json::parse(Get(fmt::format("/api/call?step={}&agent={}&call={}", first[0].dump(),
                                                first[1].dump(), first[2].dump()))
                                    .second);
  EXPECT_EQ(call["function"], first[3]);
  EXPECT_EQ(call["output_tokens"], first[7]);
  EXPECT_FALSE(call["prompt"].get<std::string>().empty());
  EXPECT_EQ(Get("/api/call?step=0&agent=0&call=999").first, 404);
  EXPECT_EQ(Get("/api/call?step=0&agent=0").first, 400);
  const Json costs = Json::parse(Get("/api/costs").second);
  int64_t counted = 0;
  for (const Json& row : costs["functions"]) counted += row[1].get<int64_t>();
  EXPECT_EQ(counted, static_cast<int64_t>(calls.size()));
  const std::string answer = call["answer"];
  const Json hits =
      Json::parse(MakeClient().Get("/api/search", {{"text", answer}}, httplib::Headers())->body);
  EXPECT_THAT(hits["hits"].dump(), HasSubstr(Json(answer).dump().substr(1, answer.size())));
  EXPECT_EQ(Get("/api/search?text=").first, 400);
}

TEST_F(RunApiTest, LetsThingsHappenOnlyWhereThatIsAllowed) {
  const auto ask = [&](const Json& body) { return Post("/api/events", body.dump()).first; };
  const Json rain = {{"what", "rain"}};
  const Json later = {{"what", "rain"}, {"step", 7}};
  StartServer({.runs = {{.journal = path_}}}, nullptr);
  EXPECT_EQ(ask(rain), 403);
  TearDownServer();
  std::vector<std::string> asked;
  const auto inject = [&](const std::string& what, int64_t step) {
    if (what == "x") throw MakeError(ErrorCode::kInvalid, "nobody understands x");
    asked.push_back(fmt::format("{} {}", step, what));
  };
  StartServer({.runs = {{.journal = path_, .inject = inject}}}, nullptr);
  EXPECT_EQ(ask(rain), 202);
  EXPECT_EQ(ask(later), 202);
  for (const char* wrong : {R"({"what": "x"})", R"({"what": 5})", R"({"what": "rain", "step": -1})", "{}"}) {
    EXPECT_EQ(ask(Json::parse(wrong)), 400) << wrong;
  }
  EXPECT_THAT(asked, ::testing::ElementsAre("0 rain", "7 rain"));
}

TEST_F(RunApiTest, PeopleAnswerOnlyWhereThatIsAllowed) {
  const auto ask = [&](const std::string& body) { return Post("/api/interview", body); };
  const char* where = R"({"agent": 1, "step": 20, "question": "Where is the concert?"})";
  StartServer({.runs = {{.journal = path_}}}, nullptr);
  EXPECT_EQ(ask(where).first, 403);
  EXPECT_EQ(Json::parse(Get("/api/run").second)["may_interview"], false);
  TearDownServer();
  const auto interview = [](int64_t agent, int64_t step, const std::string& question) {
    if (question.empty()) throw MakeError(ErrorCode::kInvalid, "question: found nothing");
    return fmt::format("{} at {}: {}", agent, step, question);
  };
  StartServer({.runs = {{.journal = path_, .interview = interview}}}, nullptr);
  EXPECT_EQ(Json::parse(Get("/api/run").second)["may_interview"], true);
  EXPECT_EQ(ask(where).second["answer"], "1 at 20: Where is the concert?");
  for (const char* wrong : {R"({"agent": 1, "step": 20, "question": ""})", R"({"agent": 1, "step": 20})",
                            R"({"agent": -1, "step": 20, "question": "Who?"})",
                            R"({"agent": 1, "step": "20", "question": "Who?"})", "[]"}) {
    EXPECT_EQ(ask(wrong).first, 400) << wrong;
  }
}

// A run that stands in the middle, as its program would leave it.
class UnfinishedRunTest : public RunApiTest {
 protected:
  void SetUp() override {
    RunApiTest::SetUp();
    std::filesystem::remove(path_);
    const sim::WalkerWorld world{sim::WalkerOptions()};
    journal_ = journal::Journal::Create(path_);
    sim::RunOptions options;
    options.steps = 20;
    journal_->Begin({}, world, options, "test");
    journal_->StartSession();
    llm::Request question;
    question.key = {.agent = 2, .step = 3, .call = 1};
    question.prompt = "Where to?";
    question.constraint.choices = {"home", "work"};
    people_.emplace(*journal_).Put(question);
    question_ = question;
  }
  void TearDown() override {
    RunApiTest::TearDown();
    journal_.reset();
  }
  Json Info() { return Json::parse(Get("/api/run").second); }

  std::unique_ptr<journal::Journal> journal_;
  std::optional<journal::JournalPeople> people_;
  llm::Request question_;
};

TEST_F(UnfinishedRunTest, PausesOnlyWhereThatIsAllowed) {
  const auto ask = [&](const std::string& body) { return Post("/api/pause", body).first; };
  StartServer({.runs = {{.journal = path_}}}, nullptr);
  EXPECT_EQ(ask(R"({"paused": true})"), 403);
  EXPECT_EQ(Info()["may_change"], false);
  TearDownServer();
  StartServer({.runs = {{.journal = path_, .may_change = true}}}, nullptr);
  EXPECT_TRUE(Info()["pause"].is_null());
  EXPECT_EQ(ask(R"({"paused": true})"), 200);
  EXPECT_EQ(Info()["pause"]["begun"], "");
  EXPECT_TRUE(journal_->IsPaused());
  EXPECT_NE(Info()["pause"]["begun"], "");
  for (const char* wrong : {R"({"paused": 1})", "{}", "[]"}) EXPECT_EQ(ask(wrong), 400) << wrong;
  EXPECT_EQ(ask(R"({"paused": false})"), 200);
  EXPECT_FALSE(journal_->IsPaused());
  journal_->EndSession("stopped");
  EXPECT_EQ(ask(R"({"paused": true})"), 400);
}

TEST_F(UnfinishedRunTest, TakesAnAnswerForAPersonOnce) {
  const auto ask = [&](const std::string& body) { return Post("/api/answer", body); };
  const char* work = R"({"agent": 2, "step": 3, "call": 1, "answer": "work"})";
  StartServer({.runs = {{.journal = path_}}}, nullptr);
  EXPECT_EQ(ask(work).first, 403);
  TearDownServer();
  StartServer({.runs = {{.journal = path_, .may_change = true}}}, nullptr);
  const Json questions = Info()["questions"];
  ASSERT_EQ(questions.size(), 1u);
  EXPECT_EQ(questions[0][3], "Where to?");
  EXPECT_EQ(questions[0][4], Json({"home", "work"}));
  for (const char* wrong : {R"({"agent": 2, "step": 3, "call": 1, "answer": "pub"})", R"({"agent": 2})",
                            R"({"agent": 2, "step": 3, "call": 1, "answer": 5})"}) {
    EXPECT_EQ(ask(wrong).first, 400) << wrong;
  }
  EXPECT_EQ(ask(work).first, 200);
  EXPECT_EQ(people_->Take(question_), "work");
  EXPECT_EQ(ask(work).first, 409);
  EXPECT_EQ(ask(R"({"agent": 9, "step": 3, "call": 1, "answer": "work"})").first, 409);
  EXPECT_TRUE(Info()["questions"].empty());
}

TEST_F(RunApiTest, ComparesTwoRuns) {
  StartServer({.runs = {{.journal = path_}, {.journal = path_}}}, nullptr);
  EXPECT_EQ(Json::parse(Get("/api/run?run=1").second)["steps"], 20);
  EXPECT_TRUE(Json::parse(Get("/api/difference").second).at("difference").is_null());
}

TEST_F(RunApiTest, SaysWhatIsWrongWithAJournal) {
  StartServer({.runs = {{.journal = "/nonexistent.journal"}}}, nullptr);
  EXPECT_EQ(Get("/api/run").first, 500);
  EXPECT_EQ(Get("/api/map").first, 404);
}

}  // namespace
}  // namespace throng::serve
