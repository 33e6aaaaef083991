#include "llm/backends/http.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <future>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "llm/decorators/retry.h"
#include "llm/testing/numbered.h"

namespace throng::llm {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

std::string Chat(const std::string& content, const std::string& reason = "stop") {
  return Json{
      {"choices", {{{"message", {{"role", "assistant"}, {"content", content}}}, {"finish_reason", reason}}}},
      {"usage",
       {{"prompt_tokens", 7}, {"completion_tokens", 3}, {"prompt_tokens_details", {{"cached_tokens", 5}}}}}}
      .dump();
}

// A server on a free port; each test scripts what it answers to the n-th question (from 0).
class HttpTest : public ::testing::Test {
 protected:
  using Script = std::function<void(int n, const Json& body, httplib::Response& response)>;

  HttpTest() {
    server_.Post("/v1/chat/completions",
                 [this](const httplib::Request& request, httplib::Response& response) {
                   int n = 0;
                   {
                     const std::lock_guard lock(mutex_);
                     n = static_cast<int>(bodies_.size());
                     bodies_.push_back(Json::parse(request.body));
                     authorization_ = request.get_header_value("Authorization");
                   }
                   script_(n, Json::parse(request.body), response);
                 });
    server_.Get("/v1/models", [](const httplib::Request&, httplib::Response& response) {
      response.set_content(R"({"data":[{"id":"first-model"}]})", "application/json");
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();
  }
  ~HttpTest() override {
    release_.set_value();
    server_.stop();
    thread_.join();
  }

  HttpOptions Options() const {
    HttpOptions options = HttpOptions::Parse(fmt::format("http://127.0.0.1:{}", port_));
    options.model = "m";
    options.threads = 2;
    options.backoff = 0.001;
    options.attempts = 3;
    options.timeout = 5;
    return options;
  }

  Completion Ask(const Request& request, const HttpOptions& options) {
    Numbered<HttpLlm> llm(options);
    const uint64_t id = llm.Send(request);
    std::vector<Completion> done;
    llm.Wait(done);
    EXPECT_EQ(done.size(), 1u);
    EXPECT_EQ(done.at(0).id, id);
    EXPECT_EQ(done.at(0).error.has_value(), done.at(0).finish == FinishReason::kError);
    return done.at(0);
  }
  Completion Ask(const Request& request) { return Ask(request, Options()); }

  static Request Question() {
    Request request;
    request.key = {3, 5, 1};
    request.system = "be brief";
    request.prompt = "where?";
    return request;
  }

  httplib::Server server_;
  int port_ = 0;
  std::thread thread_;
  Script script_ = [](int, const Json&, httplib::Response& response) {
    response.set_content(Chat("park"), "application/json");
  };
  std::promise<void> release_;  // ends the handlers that hang
  std::shared_future<void> released_ = release_.get_future().share();
  std::mutex mutex_;
  std::vector<Json> bodies_;
  std::string authorization_;
};

TEST_F(HttpTest, AsksAndAnswers) {
  Request request = Question();
  request.sampling.temperature = 0.5f;
  request.sampling.top_k = 20;
  request.stop = {"\n"};
  request.max_tokens = 9;
  script_ = [](int, const Json&, httplib::Response& response) {
    response.set_content(Chat("the park\nand more", "length"), "application/json");
  };
  HttpOptions options = Options();
  options.api_key = "secret";
  const Completion completion = Ask(request, options);
  EXPECT_EQ(completion.text, "the park");
  EXPECT_EQ(completion.finish, FinishReason::kLength);
  EXPECT_EQ(completion.key, request.key);
  EXPECT_EQ(completion.prompt_tokens, 7);
  EXPECT_EQ(completion.output_tokens, 3);
  EXPECT_EQ(completion.cached_prompt_tokens, 5);
  EXPECT_EQ(authorization_, "Bearer secret");
  const Json& body = bodies_.at(0);
  EXPECT_EQ(body["model"], "m");
  EXPECT_EQ(body["messages"].dump(),
            R"([{"role":"system","content":"be brief"},{"role":"user","content":"where?"}])");
  EXPECT_EQ(body["temperature"], 0.5);
  EXPECT_EQ(body["top_k"], 20);
  EXPECT_EQ(body["max_tokens"], 9);
  EXPECT_EQ(body["stop"].dump(), R"(["\n"])");
  EXPECT_FALSE(body.contains("response_format"));
  EXPECT_FALSE(body.contains("min_p"));
}

TEST_F(HttpTest, TriesAgainWhenTheServerFailsOrIsBusy) {
  script_ = [](int n, const Json&, httplib::Response& response) {
    response.status = n == 0 ? 500 : n == 1 ? 429 : 200;
    if (n == 1) response.set_header("Retry-After", "0.2");
    response.set_content(Chat("park"), "application/json");
  };
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(Ask(Question()).text, "park");
  EXPECT_EQ(bodies_.size(), 3u);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(200));
}

TEST_F(HttpTest, NamesUrlAndStatusWhenItGivesUp) {
  script_ = [](int, const Json&, httplib::Response& response) {
    response.status = 503;
    response.set_content(R"({"error":{"message":"loading\nthe model"}})", "application/json");
  };
  const Completion completion = Ask(Question());
  EXPECT_EQ(completion.error->Code(), ErrorCode::kUnavailable);
  EXPECT_EQ(completion.error->what(), fmt::format("llm: http://127.0.0.1:{}/v1/chat/completions answered "
                                                  "with status 503: loading the model (3 attempts)",
                                                  port_));
  script_ = [](int, const Json&, httplib::Response& response) { response.status = 401; };
  EXPECT_THAT(Ask(Question()).error->what(), HasSubstr("answered with status 401: (no text)"));
}

TEST_F(HttpTest, ATimeoutBetweenAttemptsTellsWhatTheyMet) {
  script_ = [](int, const Json&, httplib::Response& response) {
    response.status = 500;
    response.set_content(R"({"error":{"message":"out of memory"}})", "application/json");
  };
  HttpOptions options = Options();
  options.backoff = 20;
  Numbered<RetryLlm> llm(std::make_unique<HttpLlm>(options), {.attempts = 1, .timeout = 0.3});
  llm.Send(Question());
  std::vector<Completion> done;
  llm.Wait(done);
  EXPECT_THAT(done.at(0).error->what(), HasSubstr("no answer within 0.3 s"));
  EXPECT_THAT(done.at(0).error->what(), HasSubstr("answered with status 500: out of memory (1 attempts)"));
}

TEST_F(HttpTest, AServerThatHangsIsAnErrorAfterTheTimeout) {
  script_ = [this](int, const Json&, httplib::Response&) { released_.wait_for(std::chrono::seconds(20)); };
  HttpOptions options = Options();
  options.timeout = 0.3;
  const Completion completion = Ask(Question(), options);
  EXPECT_THAT(completion.error->what(), HasSubstr("did not answer within 0.3 s"));
  const std::lock_guard lock(mutex_);
  EXPECT_EQ(bodies_.size(), 1u);
}

TEST_F(HttpTest, AnUnreachableServerIsAnError) {
  HttpOptions options = Options();
  options.origin = "http://127.0.0.1:1";
  EXPECT_THAT(Ask(Question(), options).error->what(),
              HasSubstr("127.0.0.1:1/v1/chat/completions cannot be reached (3 attempts)"));
  options.model = "";
  EXPECT_THAT(Ask(Question(), options).error->what(), HasSubstr("/v1/models cannot be reached"));
}

TEST_F(HttpTest, GarbageIsAnError) {
  for (const char* garbage :
       {"<html>", "{}", R"({"choices":[]})", R"({"choices":[{"message":{"content":5}}]})", ""}) {
    script_ = [&](int, const Json&, httplib::Response& response) {
      response.set_content(garbage, "application/json");
    };
    EXPECT_THAT(Ask(Question()).error->what(), HasSubstr("not a chat completion")) << garbage;
  }
}

TEST_F(HttpTest, TheServersFirstModelIsTakenIfNoneIsNamed) {
  HttpOptions options = Options();
  options.model = "";
  EXPECT_EQ(Ask(Question(), options).text, "park");
  EXPECT_EQ(bodies_.at(0)["model"], "first-model");
}

TEST_F(HttpTest, ChoicesAreASchemaAndComeBackAlone) {
  Request request = Question();
  request.constraint.choices = {"park", "The Pub"};
  script_ = [](int, const Json&, httplib::Response& response) {
    response.set_content(Chat(R"({ "answer": "The Pub" })"), "application/json");
  };
  EXPECT_EQ(Ask(request).text, "The Pub");
  EXPECT_EQ(bodies_.at(0)["response_format"]["json_schema"]["schema"]["properties"]["answer"]["enum"].dump(),
            R"(["park","The Pub"])");
  script_ = [](int, const Json&, httplib::Response& response) {
    response.set_content(Chat(" the pub.\n"), "application/json");
  };
  EXPECT_EQ(Ask(request).text, "The Pub");
}

TEST_F(HttpTest, AWrongChoiceIsAskedOnceMore) {
  Request request = Question();
  request.constraint.choices = {"park", "pub"};
  script_ = [](int n, const Json&, httplib::Response& response) {
    response.set_content(Chat(n == 0 ? "the zoo" : "pub"), "application/json");
  };
  EXPECT_EQ(Ask(request).text, "pub");
  EXPECT_EQ(bodies_.at(1)["messages"][2].dump(), R"({"role":"assistant","content":"the zoo"})");
  EXPECT_THAT(bodies_.at(1)["messages"][3].dump(), HasSubstr("Answer with exactly one of: park, pub"));
  script_ = [](int, const Json&, httplib::Response& response) {
    response.set_content(Chat("zoo"), "application/json");
  };
  const Completion completion = Ask(request);
  EXPECT_EQ(completion.error->Code(), ErrorCode::kUnsupported);
  EXPECT_THAT(completion.error->what(), HasSubstr("the second time \"zoo\" instead of one of: park, pub"));
}

TEST_F(HttpTest, OtherWaysOfConstrainingAreTriedAndRemembered) {
  Request request = Question();
  request.constraint.choices = {"park", "pub"};
  script_ = [](int, const Json& body, httplib::Response& response) {
    response.status = body.contains("response_format") || body.contains("guided_choice") ? 400 : 200;
    response.set_content(Chat("park"), "application/json");
  };
  Numbered<HttpLlm> llm(Options());
  std::vector<Completion> done;
  llm.Send(request);
  llm.Wait(done);
  EXPECT_EQ(done.at(0).text, "park");
  EXPECT_TRUE(bodies_.at(1).contains("guided_choice"));
  EXPECT_THAT(bodies_.at(2)["messages"][1]["content"].get<std::string>(),
              HasSubstr("where?\n\nAnswer with exactly one of: park, pub"));
  llm.Send(request);
  llm.Wait(done);
  EXPECT_EQ(bodies_.size(), 4u);
}

TEST_F(HttpTest, JsonIsMadeCompactAndOrdered) {
  Request request = Question();
  request.constraint.json_schema =
      R"({"type":"object","properties":{"say":{"type":"string","maxLength":9},"end":{"type":"boolean"}},"required":["say","end"],"additionalProperties":false})";
  script_ = [](int n, const Json&, httplib::Response& response) {
    response.set_content(Chat(n == 0 ? R"({"say":"far too long","end":true})"
                                     : "```json\n{ \"end\": false,\n \"say\": \"h\\u00e9\" }\n```"),
                         "application/json");
  };
  EXPECT_EQ(Ask(request).text, R"({"say":"hé","end":false})");
  EXPECT_EQ(bodies_.at(0)["response_format"]["json_schema"]["schema"].dump(), request.constraint.json_schema);
  request.constraint.json_schema = "{}";
  Numbered<HttpLlm> llm(Options());
  EXPECT_THROW(llm.Send(request), Error);
}

TEST_F(HttpTest, AsManyCallsRunAtOnceAsThereAreThreads) {
  std::promise<void> all_arrived;
  const std::shared_future<void> arrived = all_arrived.get_future().share();
  std::atomic<int> num_arrived = 0;
  script_ = [&](int, const Json& body, httplib::Response& response) {
    if (++num_arrived == 4) all_arrived.set_value();
    if (arrived.wait_for(std::chrono::seconds(4)) != std::future_status::ready) response.status = 400;
    response.set_content(Chat(body["messages"][1]["content"]), "application/json");
  };
  HttpOptions options = Options();
  options.threads = 4;
  Numbered<HttpLlm> llm(options);
  Request request = Question();
  for (int i = 0; i < 4; ++i) {
    request.prompt = std::to_string(i);
    llm.Send(request);
  }
  std::vector<Completion> done;
  while (done.size() < 4) llm.Wait(done);
  EXPECT_EQ(llm.GetStats().calls, 4u);
  for (const Completion& completion : done) EXPECT_EQ(completion.text, std::to_string(completion.id - 1));
}

TEST_F(HttpTest, CallsThatWaitAreMadeByPriority) {
  std::promise<void> all_submitted;
  const std::shared_future<void> submitted = all_submitted.get_future().share();
  script_ = [&](int, const Json&, httplib::Response& response) {
    submitted.wait_for(std::chrono::seconds(4));
    response.set_content(Chat("park"), "application/json");
  };
  HttpOptions options = Options();
  options.threads = 1;
  Numbered<HttpLlm> llm(options);
  Request request = Question();
  for (int i = 0; i < 12; ++i) {
    request.prompt = std::to_string(i);
    request.priority = -i;
    llm.Send(request);
  }
  all_submitted.set_value();
  std::vector<Completion> done;
  while (done.size() < 12) llm.Wait(done);
  std::vector<int> order;
  for (const Json& body : bodies_)
    order.push_back(std::stoi(body["messages"][1]["content"].get<std::string>()));
  ASSERT_EQ(order.size(), 12u);
  // The first was taken before all were there.
  EXPECT_TRUE(std::is_sorted(order.begin() + 1, order.end(), std::greater<>()));
}

TEST_F(HttpTest, CancelAndDestructionDoNotWaitForTheServer) {
  script_ = [this](int, const Json&, httplib::Response&) { released_.wait_for(std::chrono::seconds(20)); };
  const auto begin = std::chrono::steady_clock::now();
  {
    Numbered<HttpLlm> llm(Options());  // two threads
    uint64_t ids[4];
    for (uint64_t& id : ids) id = llm.Send(Question());
    std::vector<Completion> done;
    llm.Wait(done, 0.1);
    EXPECT_TRUE(done.empty());
    llm.Cancel(ids[0]);
    llm.Cancel(ids[3]);
    while (done.size() < 2) llm.Wait(done);
    for (const Completion& completion : done) {
      EXPECT_TRUE(completion.id == ids[0] || completion.id == ids[3]);
      EXPECT_EQ(completion.finish, FinishReason::kCancelled);
    }
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3));
}

}  // namespace
}  // namespace throng::llm
