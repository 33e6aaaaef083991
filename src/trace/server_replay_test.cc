// Replays on a server that counts words, over HTTP.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <set>

#include "base/error.h"
#include "llm/testing/chat_server.h"
#include "trace/replayer.h"
#include "trace/server_check.h"

namespace throng::trace {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

Trace SmallTrace() {
  Trace trace;
  trace.name = "small";
  trace.num_steps = 4;
  trace.width = 60;
  trace.height = 20;
  const sim::Pos positions[] = {{5, 5}, {7, 5}, {50, 5}};
  for (const sim::Pos pos : positions) {
    TraceAgent& agent = trace.agents.emplace_back();
    agent.name = "Ada";
    agent.path = {{0, pos}};
  }
  trace.agents[0].chains = {{0, {{"plan", 30, 5}, {"plan", 31, 6}}}};
  trace.agents[1].chains = {{1, {{"plan", 32, 7}}}};
  trace.agents[2].chains = {{0, {{"plan", 33, 8}}}, {1, {{"act", 90, 9}}}, {2, {{"act", 35, 10}}}};
  return trace;
}

class ServerReplayTest : public ::testing::Test {
 protected:
  ServerReplayTest() {
    server_.script = [this](int, const Json& body, httplib::Response& response) { Answer(body, response); };
  }

  // 4 tokens of a template, a token per word; as many of the answer as are asked for.
  void Answer(const Json& body, httplib::Response& response) {
    const std::string prompt = body["messages"][0]["content"];
    const auto tokens = static_cast<int>(4 + std::count(prompt.begin(), prompt.end(), ' '));
    const int asked = body["max_tokens"];
    if (tokens + asked > context_) {
      response.status = 400;
      response.set_content(llm::ErrorBody("This model's maximum context length is exceeded"),
                           "application/json");
      return;
    }
    Json reply = Json::parse(llm::Chat("word", asked <= longest_answer_ ? "length" : "stop"));
    reply["usage"] = {{"prompt_tokens", tokens}, {"completion_tokens", std::min(asked, longest_answer_)}};
    response.set_content(reply.dump(), "application/json");
    const std::lock_guard lock(mutex_);
    if (body.value("ignore_eos", false)) sizes_.emplace(tokens, asked);
  }

  ServerCheck Check(const Trace& trace = SmallTrace()) {
    return CheckServer(server_.Url(), trace, 0, [](const std::string&) {});
  }

  llm::ChatServer server_;
  int context_ = 1000;
  int longest_answer_ = 1000;
  std::mutex mutex_;
  std::multiset<std::pair<int, int>> sizes_;  // of the calls that were asked with ignore_eos
};

TEST_F(ServerReplayTest, EveryModeAsksForTheTracesCalls) {
  const ServerCheck check = Check();
  EXPECT_EQ(check.longest_prompt, 90);
  EXPECT_EQ(check.counted_prompt, 90);
  EXPECT_EQ(check.counted_output, 9);
  Replayer replayer(SmallTrace(), 4, 0);
  Replayer::RunFlags flags;
  flags.llm = server_.Url();
  flags.words = &check.words;
  uint64_t answered = 0;
  flags.on_answer = [&](uint64_t count) { answered = count; };
  const std::multiset<std::pair<int, int>> recorded = {{4, 1},  {30, 5}, {31, 6}, {32, 7},
                                                       {33, 8}, {90, 9}, {35, 10}};
  std::optional<Digest> hash;
  for (const std::string& mode : ReplayModes()) {
    sizes_.clear();
    const ReplayRow row = replayer.Run(mode, flags);
    EXPECT_EQ(row.stats.calls, 6u) << mode;
    if (mode == "critical") {  // from the times of single
      EXPECT_TRUE(sizes_.empty());
      EXPECT_GT(row.stats.backend_s, 0);
      continue;
    }
    EXPECT_EQ(sizes_, recorded) << mode;  // with a first call, which counts nowhere
    EXPECT_EQ(row.stats.prompt_tokens, 251u) << mode;
    EXPECT_EQ(row.stats.output_tokens, 45u) << mode;
    EXPECT_EQ(answered, 6u) << mode;
    ASSERT_TRUE(row.differences) << mode;
    EXPECT_EQ(row.differences->prompts + row.differences->answers, 0u) << mode;
    if (!hash) hash = row.hash;
    EXPECT_EQ(row.hash.value_or(*hash), *hash) << mode;
  }
}

TEST_F(ServerReplayTest, AnswersOfOtherLengthsAreCounted) {
  longest_answer_ = 7;
  const ServerCheck check = Check();
  Replayer replayer(SmallTrace(), 4, 0);
  Replayer::RunFlags flags;
  flags.llm = server_.Url();
  flags.words = &check.words;
  const ReplayRow row = replayer.Run("ooo", flags);
  EXPECT_EQ(row.differences->answers, 3u);
  EXPECT_EQ(row.differences->output_tokens, -1 - 2 - 3);
  EXPECT_EQ(row.stats.output_tokens, 39u);
  EXPECT_THROW(replayer.Run("critical", flags), Error);  // single has not run
}

TEST_F(ServerReplayTest, TheLongestCallIsTriedFirst) {
  Trace trace = SmallTrace();
  trace.agents[2].chains[1].calls[0].prompt_tokens = 300;
  context_ = 308;
  try {
    Check(trace);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.Code(), ErrorCode::kExhausted);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("act of Ada in step 1: a prompt of 300 tokens, an answer of 9"),
                                    HasSubstr("maximum context length")));
  }
}

TEST_F(ServerReplayTest, AServerThatIsAwayIsNamedAtOnce) {
  server_.Stop();
  try {
    Check();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.Code(), ErrorCode::kUnavailable);
    EXPECT_THAT(error.what(), HasSubstr("cannot be reached"));
  }
}

}  // namespace
}  // namespace throng::trace
