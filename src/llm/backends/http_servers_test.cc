// Several servers behind one HttpLlm.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <map>
#include <set>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/testing/logged_text.h"
#include "llm/backends/http.h"
#include "llm/testing/chat_server.h"
#include "llm/testing/numbered.h"

namespace throng::llm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::ordered_json;

Request Ask(uint32_t agent, int priority = 0) {
  Request request;
  request.key.agent = agent;
  request.prompt = std::to_string(agent);
  request.priority = priority;
  return request;
}

void Busy(int, const Json&, httplib::Response& response) {
  response.status = 503;
  response.set_content(ErrorBody("no worker is free"), "application/json");
}

class HttpServersTest : public ::testing::Test {
 protected:
  HttpServersTest() {
    for (ChatServer* server : {&a_, &b_}) server->models = R"({"data":[{"id":"m"}]})";
  }

  std::vector<HttpOptions> Both() const { return {a_.Options(), b_.Options()}; }

  // One call after the other, so that each is sent to a server that has nothing to do.
  static Completion AskOne(Numbered<HttpLlm>& llm, const Request& request) {
    llm.Send(request);
    return WaitFor(llm, 1).at(0);
  }

  static std::vector<Completion> WaitFor(HttpLlm& llm, size_t count) {
    std::vector<Completion> done;
    while (done.size() < count) llm.Wait(done);
    EXPECT_EQ(done.size(), count);
    return done;
  }

  // Has both servers answer, so that neither waits for its first answer. Agents 1000 and 1001.
  void WarmUp(Numbered<HttpLlm>& llm) {
    std::atomic<int> arrived = 0;
    const auto script = a_.script;
    a_.script = b_.script = [&](int, const Json&, httplib::Response& response) {
      ++arrived;
      for (int i = 0; i < 4000 && arrived < 2; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      response.set_content(Chat("park"), "application/json");
    };
    llm.Send(Ask(1000));
    llm.Send(Ask(1001));
    WaitFor(llm, 2);
    a_.script = b_.script = script;
    ASSERT_EQ(a_.bodies.size(), 1u);
    ASSERT_EQ(b_.bodies.size(), 1u);
    a_.bodies.clear();
    b_.bodies.clear();
  }

  ChatServer a_;
  ChatServer b_;
};

TEST(HttpOptions, AListOfAddressesIsSeveralServers) {
  const auto servers = HttpOptions::ParseList("http://a:1,https://b/api?model=m&in_flight=2");
  ASSERT_EQ(servers.size(), 2u);
  EXPECT_EQ(servers[0].Address(), "http://a:1/v1");
  EXPECT_EQ(servers[0].model, "");
  EXPECT_EQ(servers[1].Address(), "https://b/api");
  EXPECT_EQ(servers[1].in_flight, 2);
  for (const char* list : {"", "http://a,", "http://a,b", ",http://a"})
    EXPECT_THROW(HttpOptions::ParseList(list), Error) << list;
  std::string many = "http://a";
  for (int i = 0; i < 64; ++i) many += ",http://a";
  EXPECT_THROW(HttpOptions::ParseList(many), Error);
}

TEST_F(HttpServersTest, ShareTheCallsByTheirLoad) {
  Numbered<HttpLlm> llm(Both());
  EXPECT_EQ(llm.Identity(), "http " + a_.Url() + " model=m, " + b_.Url() + " model=m");
  WarmUp(llm);
  std::atomic<int> arrived = 0;
  for (ChatServer* server : {&a_, &b_}) {
    server->script = [&](int, const Json&, httplib::Response& response) {
      ++arrived;
      for (int i = 0; i < 4000 && arrived < 8; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      response.set_content(Chat("park"), "application/json");
    };
  }
  for (uint32_t agent = 0; agent < 8; ++agent) llm.Send(Ask(agent));
  WaitFor(llm, 8);
  EXPECT_EQ(a_.bodies.size(), 4u);
  EXPECT_EQ(b_.bodies.size(), 4u);
  const std::vector<ServerStats> servers = llm.Servers();
  ASSERT_EQ(servers.size(), 2u);
  EXPECT_EQ(servers[0].address, a_.Url());
  for (const ServerStats& server : servers) {
    EXPECT_EQ(server.calls, 5u);
    EXPECT_EQ(server.failures, 0u);
    EXPECT_EQ(server.prompt_tokens, 35u);
    EXPECT_EQ(server.cached_prompt_tokens, 25u);
    EXPECT_EQ(server.output_tokens, 15u);
    EXPECT_GT(server.seconds, 0);
  }
}

TEST_F(HttpServersTest, AnAgentStaysWithItsServer) {
  Numbered<HttpLlm> llm(Both());
  WarmUp(llm);
  std::map<uint32_t, std::string> served;
  for (int round = 0; round < 5; ++round) {
    for (uint32_t agent = 0; agent < 6; ++agent) llm.Send(Ask(agent, round));
    for (const Completion& completion : WaitFor(llm, 6)) {
      const auto [first, is_first] = served.emplace(completion.key.agent, completion.served_by);
      EXPECT_EQ(completion.served_by, first->second) << round;
    }
  }
  EXPECT_EQ(a_.bodies.size() + b_.bodies.size(), 30u);
}

TEST_F(HttpServersTest, TellsWhichServerHasACallAndWhatWaits) {
  HttpOptions a = a_.Options();
  HttpOptions b = b_.Options();
  a.in_flight = b.in_flight = 1;
  Numbered<HttpLlm> llm(std::vector{a, b});
  WarmUp(llm);
  std::promise<void> release;
  const std::shared_future<void> released = release.get_future().share();
  a_.script = b_.script = [&](int, const Json&, httplib::Response& response) {
    released.wait();
    response.set_content(Chat("park"), "application/json");
  };
  std::vector<uint64_t> ids;
  for (uint32_t agent = 0; agent < 3; ++agent) ids.push_back(llm.Send(Ask(agent, static_cast<int>(agent))));
  while (llm.StandingOf(ids[0])->is_queued || llm.StandingOf(ids[1])->is_queued) std::this_thread::yield();
  EXPECT_THAT((std::vector{llm.StandingOf(ids[0])->server, llm.StandingOf(ids[1])->server}),
              ::testing::UnorderedElementsAre(a.Address(), b.Address()));
  EXPECT_EQ(llm.StandingOf(ids[2]), Standing{.is_queued = true});
  release.set_value();
  WaitFor(llm, 3);
  EXPECT_EQ(llm.StandingOf(ids[0]), std::nullopt);
}

TEST_F(HttpServersTest, AFullServerLeavesItsAgentsToOthers) {
  std::vector<HttpOptions> servers = Both();
  servers[0].in_flight = servers[1].in_flight = 1;
  Numbered<HttpLlm> llm(servers);
  WarmUp(llm);
  std::atomic<bool> goes_on = false;
  const auto slow = [&](int, const Json&, httplib::Response& response) {
    for (int i = 0; i < 4000 && !goes_on; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    response.set_content(Chat("park"), "application/json");
  };
  const std::string home = AskOne(llm, Ask(0)).served_by;
  (home.find(a_.Url()) != home.npos ? a_ : b_).script = slow;
  const uint64_t first = llm.Send(Ask(0));
  const uint64_t second = llm.Send(Ask(0));
  const Completion overflow = WaitFor(llm, 1).at(0);
  EXPECT_EQ(overflow.id, second);
  EXPECT_NE(overflow.served_by, home);
  goes_on = true;
  EXPECT_EQ(WaitFor(llm, 1).at(0).id, first);
}

TEST_F(HttpServersTest, ACallThatOneFailsIsAskedOnAnother) {
  const LoggedText log;
  {
    Numbered<HttpLlm> llm(Both());
    WarmUp(llm);
    a_.script = Busy;
    for (uint32_t agent = 0; agent < 6; ++agent) llm.Send(Ask(agent));
    for (const Completion& completion : WaitFor(llm, 6)) {
      EXPECT_EQ(completion.text, "park");
      EXPECT_THAT(completion.served_by, HasSubstr(b_.Url()));
      EXPECT_EQ(completion.attempts, 1);
    }
    // It rests, and is tried again.
    const size_t before = a_.bodies.size();
    for (uint32_t agent = 10; agent < 16; ++agent) AskOne(llm, Ask(agent));
    EXPECT_EQ(a_.bodies.size(), before);
    a_.script = [](int, const Json&, httplib::Response& response) {
      response.set_content(Chat("park"), "application/json");
    };
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    for (uint32_t agent = 20; agent < 26; ++agent) llm.Send(Ask(agent));
    WaitFor(llm, 6);
    EXPECT_GT(a_.bodies.size(), before);
    EXPECT_EQ(llm.GetStats().calls, 20u);
    EXPECT_GE(llm.Servers()[0].failures, 1u);
    EXPECT_EQ(llm.Servers()[0].calls + llm.Servers()[1].calls, 20u);
  }
  const std::string said = a_.Url() + "/chat/completions answered with status 503: no worker is free; other";
  const std::string text = log.Text();
  EXPECT_EQ(text.find(said), text.rfind(said)) << text;  // once
  EXPECT_THAT(text, AllOf(HasSubstr(said), HasSubstr(a_.Url() + " answers now")));
}

// Half of a completion, and the page of a proxy.
TEST_F(HttpServersTest, WhatIsNoCompletionIsAskedOnAnother) {
  const LoggedText log;
  const auto answer = b_.script;
  for (const std::string& body : {Chat("park").substr(0, 30), std::string("<html>"), std::string("[]")}) {
    a_.bodies.clear();
    b_.bodies.clear();
    Numbered<HttpLlm> llm(Both());
    WarmUp(llm);
    b_.script = answer;
    a_.script = [&](int, const Json&, httplib::Response& response) {
      response.set_content(body, "application/json");
    };
    for (uint32_t agent = 0; agent < 6; ++agent) llm.Send(Ask(agent));
    for (const Completion& completion : WaitFor(llm, 6)) EXPECT_EQ(completion.text, "park") << body;
    // What is a completion, and no answer, is the model's.
    a_.script = b_.script = [](int, const Json&, httplib::Response& response) {
      response.set_content(R"({"choices": []})", "application/json");
    };
    EXPECT_EQ(AskOne(llm, Ask(9)).error->Code(), ErrorCode::kBadAnswer);
  }
  EXPECT_THAT(log.Text(),
              HasSubstr("answered with what is no JSON: <html>; other servers are asked meanwhile"));
}

TEST_F(HttpServersTest, AServerThatGoesAwayEndsNothing) {
  a_.CloseConnections();
  Numbered<HttpLlm> llm(Both());
  WarmUp(llm);
  a_.Stop();
  for (uint32_t agent = 0; agent < 6; ++agent) llm.Send(Ask(agent));
  for (const Completion& completion : WaitFor(llm, 6)) EXPECT_EQ(completion.text, "park");
  EXPECT_EQ(b_.bodies.size(), 6u);
}

TEST_F(HttpServersTest, AServerThatIsNotThereIsDoneWithout) {
  const LoggedText log;
  a_.Stop();
  {
    std::vector<HttpOptions> servers = Both();
    servers[0].model = "";
    Numbered<HttpLlm> llm(servers);
    for (uint32_t agent = 0; agent < 3; ++agent) EXPECT_EQ(AskOne(llm, Ask(agent)).text, "park");
  }
  EXPECT_THAT(log.Text(),
              HasSubstr(a_.Url() + "/models cannot be reached; other servers are asked meanwhile"));
  b_.Stop();
  Numbered<HttpLlm> llm(Both());
  EXPECT_EQ(AskOne(llm, Ask(0)).error->Code(), ErrorCode::kUnavailable);
}

TEST_F(HttpServersTest, ACallThatAllFailFailsOnce) {
  a_.script = b_.script = Busy;
  Numbered<HttpLlm> llm(Both());
  for (uint32_t agent = 0; agent < 3; ++agent) {
    const Completion completion = AskOne(llm, Ask(agent));
    EXPECT_EQ(completion.error->Code(), ErrorCode::kUnavailable);
    EXPECT_EQ(completion.retry_after_s, 0);
    EXPECT_EQ(a_.bodies.size() + b_.bodies.size(), 2u * (agent + 1));
  }
}

TEST_F(HttpServersTest, WhatIsWrongForGoodEndsTheRunUnlessTheServerHasAnswered) {
  const auto refuse = [](int, const Json&, httplib::Response& response) {
    response.status = 429;
    response.set_content(ErrorBody("the quota is used up", "", "insufficient_quota"), "application/json");
  };
  const auto answer = b_.script;
  std::atomic<bool> refused = false;
  a_.script = [&](int n, const Json& body, httplib::Response& response) {
    refuse(n, body, response);
    refused = true;
  };
  // Until then b is busy with its first call, so that a gets the other one.
  b_.script = [&](int n, const Json& body, httplib::Response& response) {
    for (int i = 0; i < 4000 && !refused; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    answer(n, body, response);
  };
  {
    Numbered<HttpLlm> llm(Both());
    llm.Send(Ask(0));
    llm.Send(Ask(1));
    const std::vector<Completion> done = WaitFor(llm, 2);
    const Completion& failed = done[done[0].error ? 0 : 1];
    ASSERT_TRUE(failed.error);
    EXPECT_EQ(failed.error->Code(), ErrorCode::kInvalid);
  }
  a_.script = b_.script = answer;
  a_.bodies.clear();
  b_.bodies.clear();
  const LoggedText log;
  {
    Numbered<HttpLlm> llm(Both());
    WarmUp(llm);
    a_.script = refuse;
    for (uint32_t agent = 0; agent < 6; ++agent) llm.Send(Ask(agent));  // several are refused at once
    for (const Completion& completion : WaitFor(llm, 6)) EXPECT_EQ(completion.text, "park");
    const size_t before = a_.bodies.size();
    EXPECT_GE(before, 1u);
    EXPECT_EQ(AskOne(llm, Ask(7)).text, "park");
    EXPECT_EQ(a_.bodies.size(), before);
    b_.script = refuse;  // the last one
    EXPECT_EQ(AskOne(llm, Ask(0)).error->Code(), ErrorCode::kInvalid);
  }
  EXPECT_THAT(log.Text(),
              AllOf(HasSubstr("has no quota left for this key (status 429): the quota is used up; it is "
                              "left out from now on"),
                    Not(HasSubstr("is asked for the model"))));
}

TEST_F(HttpServersTest, AgentsComeBackToAServerThatIsWellAgain) {
  Numbered<HttpLlm> llm(Both());
  WarmUp(llm);
  const auto answer = a_.script;
  const auto served_by_a = [&] {
    std::set<uint32_t> agents;
    for (uint32_t agent = 0; agent < 8; ++agent) {
      const Completion completion = AskOne(llm, Ask(agent));
      EXPECT_EQ(completion.text, "park");
      if (completion.served_by.find(a_.Url()) != completion.served_by.npos) agents.insert(agent);
    }
    return agents;
  };
  for (uint32_t agent = 0; agent < 8; ++agent) llm.Send(Ask(agent));
  WaitFor(llm, 8);
  const std::set<uint32_t> home = served_by_a();
  ASSERT_GE(home.size(), 1u);
  ASSERT_LT(home.size(), 8u);
  a_.script = Busy;
  EXPECT_EQ(served_by_a(), std::set<uint32_t>());
  a_.script = answer;
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  served_by_a();  // the first call tells that it is well
  EXPECT_THAT(served_by_a(), ::testing::IsSupersetOf(home));
}

TEST_F(HttpServersTest, AServerThatWasAwayIsAskedWhatItIsBeforeItTakesCalls) {
  HttpOptions away = a_.Options();
  away.timeout = 0.3;
  Numbered<HttpLlm> llm(std::vector{away, b_.Options()});
  WarmUp(llm);
  const auto answer = a_.script;
  a_.script = [&](int, const Json&, httplib::Response&) { a_.HangFor(1); };
  a_.models_status = 503;
  for (uint32_t agent = 0; agent < 6; ++agent) llm.Send(Ask(agent));
  WaitFor(llm, 6);
  const size_t before = a_.bodies.size();
  for (int i = 0; i < 3; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    EXPECT_THAT(AskOne(llm, Ask(static_cast<uint32_t>(i))).served_by, HasSubstr(b_.Url()));
  }
  EXPECT_EQ(a_.bodies.size(), before);
}

class ContextsTest : public HttpServersTest {
 protected:
  // Prompts are as long as their number.
  static auto WithContext(int context) {
    return [context](int, const Json& body, httplib::Response& response) {
      const int length = std::stoi(body["messages"].back()["content"].get<std::string>());
      if (length <= context) return response.set_content(Chat("park"), "application/json");
      response.status = 400;
      response.set_content(ErrorBody("the maximum context length is " + std::to_string(context)),
                           "application/json");
    };
  }

  static Request Long(uint32_t agent, int length) {
    Request request = Ask(agent);
    request.prompt = std::to_string(length);
    return request;
  }
};

TEST_F(ContextsTest, WhatIsTooLongForOneIsAskedOnAnother) {
  const LoggedText log;
  {
    Numbered<HttpLlm> llm(Both());
    WarmUp(llm);
    a_.script = WithContext(10);
    b_.script = WithContext(20);
    for (uint32_t agent = 0; agent < 6; ++agent) llm.Send(Long(agent, 15));
    for (const Completion& completion : WaitFor(llm, 6)) EXPECT_EQ(completion.text, "park");
    const size_t before = a_.bodies.size();
    EXPECT_GE(before, 1u);
    for (uint32_t agent = 0; agent < 6; ++agent) EXPECT_EQ(AskOne(llm, Long(agent, 16)).text, "park");
    EXPECT_EQ(a_.bodies.size(), before);  // they have stayed where their prompts fit
    EXPECT_EQ(AskOne(llm, Long(0, 10)).text, "park");
    const size_t asked = a_.bodies.size() + b_.bodies.size();
    EXPECT_EQ(AskOne(llm, Long(7, 21)).error->Code(), ErrorCode::kExhausted);
    EXPECT_EQ(a_.bodies.size() + b_.bodies.size(), asked + 2);  // each once
  }
  const std::string said =
      "the maximum context length is 10; servers that may have a longer context are asked";
  EXPECT_THAT(log.Text(), HasSubstr(said));
}

TEST_F(ContextsTest, WhoHasNoLongerContextIsNotAsked) {
  a_.models = R"({"data":[{"id":"other","max_model_len":90},{"id":"m","max_model_len":10}]})";
  b_.models = R"({"data":[{"id":"m","max_model_len":20}]})";
  Numbered<HttpLlm> llm(Both());
  WarmUp(llm);
  a_.script = WithContext(10);
  b_.script = WithContext(20);
  for (uint32_t agent = 0; agent < 6; ++agent) llm.Send(Long(agent, 30));
  for (const Completion& completion : WaitFor(llm, 6)) {
    ASSERT_TRUE(completion.error);
    EXPECT_THAT(completion.error->what(), HasSubstr("the maximum context length is 20"));
  }
  EXPECT_EQ(b_.bodies.size(), 6u);
  EXPECT_LT(a_.bodies.size(), 6u);
}

TEST_F(HttpServersTest, OtherModelsAreNoticed) {
  const LoggedText log;
  b_.models = R"({"data":[{"id":"n"}]})";
  {
    std::vector<HttpOptions> servers = Both();
    servers[0].model = servers[1].model = "";
    Numbered<HttpLlm> llm(servers);
    WarmUp(llm);
  }
  EXPECT_THAT(log.Text(), HasSubstr("is asked for the model "));
}

}  // namespace
}  // namespace throng::llm
