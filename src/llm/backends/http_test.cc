#include "llm/backends/http.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <ctime>
#include <future>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "llm/decorators/retry.h"
#include "llm/same_chat.h"
#include "llm/testing/chat_server.h"
#include "llm/testing/numbered.h"

namespace throng::llm {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

class HttpTest : public ::testing::Test {
 protected:
  HttpOptions Options() const { return server_.Options(); }

  // What it completes with after up to three attempts.
  Completion AskAgain(const Request& request) {
    RetryOptions retry;
    retry.call_attempts = 3;
    retry.first_pause = 0.001;
    Numbered<RetryLlm> llm(std::make_unique<HttpLlm>(Options()), retry);
    llm.Send(request);
    std::vector<Completion> done;
    llm.Wait(done);
    EXPECT_EQ(done.size(), 1u);
    return done.at(0);
  }

  // The answer to one that is given as the whole body with status 200.
  Completion Answered(const Request& request, const std::string& body) {
    server_.script = [body](int, const Json&, httplib::Response& response) {
      response.set_content(body, "application/json");
    };
    return AskAgain(request);
  }

  // The error after one attempt that is answered so.
  Error Refused(int status, const std::string& body) {
    server_.script = [=](int, const Json&, httplib::Response& response) {
      response.status = status;
      response.set_content(body, "application/json");
    };
    return Ask(Question()).error.value_or(Error(ErrorCode::kIo, "no error"));
  }

  static Request Choice() {
    Request request = Question();
    request.constraint.choices = {"park", "pub"};
    return request;
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

  std::atomic<int> gone_ = 0;   // connections that the client closed before their end
  std::atomic<int> begun_ = 0;  // answers that a script began
  ChatServer server_;
};

TEST_F(HttpTest, AsksAndAnswers) {
  Request request = Question();
  request.sampling.temperature = 0.5f;
  request.sampling.top_k = 20;
  request.stop = {"\n"};
  request.max_tokens = 9;
  server_.script = [](int, const Json&, httplib::Response& response) {
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
  EXPECT_EQ(completion.served_by, "model-7 at " + server_.Url());
  EXPECT_EQ(server_.authorization, "Bearer secret");
  const Json& body = server_.bodies.at(0);
  EXPECT_EQ(body["model"], "m");
  EXPECT_EQ(body["messages"].dump(),
            R"([{"role":"system","content":"be brief"},{"role":"user","content":"where?"}])");
  EXPECT_EQ(body["temperature"], 0.5);
  EXPECT_EQ(body["top_k"], 20);
  EXPECT_EQ(body["max_tokens"], 9);
  EXPECT_EQ(body["stop"].dump(), R"(["\n"])");
  EXPECT_FALSE(body.contains("response_format"));
  EXPECT_FALSE(body.contains("min_p"));
  EXPECT_EQ(body["seed"], SamplingSeed(request));
}

TEST_F(HttpTest, MakesOneAttemptAndSaysHowItFailed) {
  EXPECT_EQ(Refused(503, ErrorBody("loading\nthe model")).what(),
            "llm: " + server_.Url() + "/chat/completions answered with status 503: loading the model");
  EXPECT_EQ(server_.bodies.size(), 1u);
  for (const int status : {408, 429, 500, 502, 503, 529})
    EXPECT_EQ(Refused(status, "busy").Code(), ErrorCode::kUnavailable) << status;
  EXPECT_THAT(Refused(500, "").what(), HasSubstr("answered with status 500: (no text)"));
}

TEST_F(HttpTest, KnowsWhatIsForGood) {
  EXPECT_EQ(Refused(401, ErrorBody("no such key")).Code(), ErrorCode::kInvalid);
  EXPECT_THAT(Refused(401, ErrorBody("no such key")).what(), HasSubstr("wants a key"));
  EXPECT_THAT(Refused(403, ErrorBody("no such key")).what(), HasSubstr("(status 403): no such key"));
  const Error quota = Refused(429, ErrorBody("the quota is used up", "", "insufficient_quota"));
  EXPECT_EQ(quota.Code(), ErrorCode::kInvalid);
  EXPECT_THAT(quota.what(), HasSubstr("has no quota left for this key (status 429): the quota is used up"));
  EXPECT_EQ(Refused(404, ErrorBody("no such model")).Code(), ErrorCode::kInvalid);
  EXPECT_EQ(Refused(302, "").Code(), ErrorCode::kInvalid);
  EXPECT_EQ(Refused(400, ErrorBody("something else is wrong")).Code(), ErrorCode::kUnsupported);
  EXPECT_EQ(Refused(400, ErrorBody("filtered", "prompt", "content_filter")).Code(), ErrorCode::kBadAnswer);
  for (const char* words : {"This model's maximum context length is 4096 tokens.",
                            "prompt: it has 500 tokens, the context is 400 for prompt and answer",
                            "request: prompt of 310 and answer of up to 136 tokens exceed the context of 400",
                            "the request exceeds the available context size"}) {
    EXPECT_EQ(Refused(400, ErrorBody(words)).Code(), ErrorCode::kExhausted) << words;
  }
  EXPECT_EQ(Refused(400, ErrorBody("too many tokens", "messages", "context_length_exceeded")).Code(),
            ErrorCode::kExhausted);
}

TEST_F(HttpTest, TellsTheServersTime) {
  server_.script = [](int n, const Json&, httplib::Response& response) {
    response.status = 429;
    char date[64];
    const std::time_t later = std::time(nullptr) + 40;
    std::strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", std::gmtime(&later));
    if (n < 2) response.set_header("Retry-After", n == 0 ? std::string("3600") : date);
  };
  EXPECT_EQ(Ask(Question()).retry_after_s, 3600);
  EXPECT_NEAR(Ask(Question()).retry_after_s, 40, 3);
  EXPECT_EQ(Ask(Question()).retry_after_s, 0);
}

TEST_F(HttpTest, ATimeoutCountsFromTheRequestToTheLastByte) {
  HttpOptions options = Options();
  options.timeout = 0.4;
  server_.script = [this](int, const Json&, httplib::Response&) { server_.HangFor(20); };
  const auto begin = std::chrono::steady_clock::now();
  const Completion hanging = Ask(Question(), options);
  EXPECT_THAT(hanging.error->what(), HasSubstr("did not answer within 0.4 s"));
  EXPECT_EQ(hanging.error->Code(), ErrorCode::kUnavailable);
  EXPECT_LT(hanging.retry_after_s, 0);  // no word of it
  server_.script = [](int, const Json&, httplib::Response& response) {
    response.set_chunked_content_provider("application/json", [](size_t, httplib::DataSink& sink) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      return sink.write(" ", 1);
    });
  };
  EXPECT_THAT(Ask(Question(), options).error->what(), HasSubstr("did not answer within 0.4 s"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));
}

TEST_F(HttpTest, AnUnreachableServerIsUnavailable) {
  HttpOptions options = Options();
  options.origin = "http://127.0.0.1:1";
  const Completion completion = Ask(Question(), options);
  EXPECT_EQ(completion.error->Code(), ErrorCode::kUnavailable);
  EXPECT_EQ(completion.retry_after_s, 0);
  EXPECT_THAT(completion.error->what(), HasSubstr("127.0.0.1:1/v1/models cannot be reached"));
  options.origin = "https://127.0.0.1:" + std::to_string(server_.Port());  // speaks no TLS
  EXPECT_THAT(Ask(Question(), options).error->what(), HasSubstr("broke the connection off"));
}

TEST_F(HttpTest, ABodyThatEndsTooSoonIsUnavailable) {
  server_.script = [](int, const Json&, httplib::Response& response) {
    response.set_content_provider(1000, "application/json", [](size_t, size_t, httplib::DataSink& sink) {
      sink.write("{\"choices\"", 10);
      return false;
    });
  };
  const Completion completion = Ask(Question());
  EXPECT_EQ(completion.error->Code(), ErrorCode::kUnavailable);
  EXPECT_THAT(completion.error->what(), HasSubstr("broke the connection off"));
}

TEST_F(HttpTest, WhatIsNoAnswerIsABadOneInOurWords) {
  const std::pair<const char*, const char*> bodies[] = {
      {"<html><title>502 Bad Gateway</title></html>", "with what is no JSON: <html><title>502 Bad Gateway"},
      {"{\"choices\": [{\"mess", "with what is no JSON: {\"choices\""},
      {"", "with what is no JSON: (no text)"},
      {"{}", "with no chat completion: {}"},
      {R"({"choices":[]})", "with no choices"},
      {R"({"choices":[{"message":{"content":5}}]})", "with no content"},
      {R"({"choices":[{"message":{"role":"assistant","content":null}}]})", "with no content"},
      {R"({"choices":[{"message":{"content":null,"refusal":"I cannot do this"}}]})", "I cannot do this"},
      {R"({"error":{"message":"the provider failed","code":502}})", "with an error: the provider failed"}};
  for (const auto& [body, words] : bodies) {
    server_.bodies.clear();
    const Completion completion = Answered(Question(), body);
    EXPECT_EQ(completion.error->Code(), ErrorCode::kBadAnswer) << body;
    EXPECT_THAT(completion.error->what(), HasSubstr(words)) << body;
    EXPECT_THAT(completion.error->what(), HasSubstr("(asked 3 times)")) << body;
    EXPECT_EQ(server_.bodies.size(), 3u);
  }
}

TEST_F(HttpTest, UsesAnAnswerInAnyForm) {
  Request request = Question();
  request.constraint.json_schema =
      R"({"type":"object","properties":{"say":{"type":"string"},"n":{"type":"integer"}},"required":["say"]})";
  const std::string json = R"({"n": 5.0, "say": "h\u00e9", "why": 12345678901234567890})";
  const std::string right = R"({"say":"h\u00e9","n":5,"why":12345678901234567890})";
  const Json messages[] = {{{"content", json}},
                           {{"content", "<think>{\"say\": 1}</think>\n\n" + json}},
                           {{"content", "Sure:\n```json\n" + json + "\n```\nMore?"}},
                           {{"content", Json::array({{{"type", "text"}, {"text", json}}})}},
                           {{"content", ""}, {"reasoning_content", json}},
                           {{"content", nullptr}, {"reasoning", json}},
                           {{"content", json}, {"reasoning_content", "They want {\"say\": 1}"}}};
  for (const Json& message : messages) {
    server_.bodies.clear();
    EXPECT_EQ(Answered(request, ChatOf(message)).text, Json::parse(right).dump()) << message;
    EXPECT_EQ(server_.bodies.size(), 1u);
  }
  EXPECT_EQ(server_.bodies.at(0)["response_format"]["json_schema"]["schema"].dump(),
            request.constraint.json_schema);
}

TEST_F(HttpTest, TheServersFirstModelIsTakenIfNoneIsNamed) {
  HttpOptions options = Options();
  options.model = "";
  EXPECT_EQ(Ask(Question(), options).text, "park");
  EXPECT_EQ(server_.bodies.at(0)["model"], "first-model");
  server_.models = R"({"data":[]})";
  EXPECT_THAT(Ask(Question(), options).error->what(), HasSubstr("/models does not name a model"));
  server_.models_status = 401;
  EXPECT_THAT(Ask(Question(), options).error->what(), HasSubstr("/models wants a key"));
  EXPECT_EQ(Ask(Question()).text, "park");  // with a name it is not needed
}

TEST_F(HttpTest, AWrongAnswerIsAskedAgainWithWhatWasWrong) {
  server_.script = [](int n, const Json&, httplib::Response& response) {
    response.set_content(Chat(n == 0   ? "the zoo"
                              : n == 1 ? ""
                                       : R"({ "answer": "pub" })"),
                         "application/json");
  };
  const Completion completion = AskAgain(Choice());
  EXPECT_EQ(completion.text, "pub");
  EXPECT_EQ(completion.spent_prompt_tokens, 14);
  EXPECT_EQ(server_.bodies.at(1)["messages"][2].dump(), R"({"role":"assistant","content":"the zoo"})");
  EXPECT_THAT(server_.bodies.at(1)["messages"][3].dump(), HasSubstr("it is not one of: park, pub"));
  // There is no empty turn, and roles alternate.
  EXPECT_EQ(server_.bodies.at(2)["messages"].size(), 2u);
  EXPECT_THAT(server_.bodies.at(2)["messages"][1]["content"].get<std::string>(),
              HasSubstr("where?\n\nThat answer"));
}

TEST_F(HttpTest, ChoicesGoInTheFormOfTheServer) {
  struct Form {
    const char* owner;
    const char* header;
    const char* version;
    const char* field;
    Json value;
  };
  const std::vector<std::string> choices = {"park", "p\"b(\\"};
  const char* const grammar = "root ::= \"park\" | \"p\\\"b(\\\\\"";
  const Form forms[] = {{"throng", "", "", "guided_choice", choices},
                        {"vllm", "", "0.10.1", "guided_choice", choices},
                        {"vllm", "", "0.11.0", "structured_outputs", {{"choice", choices}}},
                        {"llamacpp", "", "", "grammar", grammar},
                        {"someone", "llama.cpp", "", "grammar", grammar},
                        {"sglang", "", "", "regex", "(park|p\"b\\(\\\\)"}};
  Request request = Choice();
  request.constraint.choices = choices;
  for (const Form& form : forms) {
    server_.models = Json{{"data", Json::array({{{"id", "m"}, {"owned_by", form.owner}}})}}.dump();
    server_.server_header = form.header;
    server_.version = form.version;
    server_.bodies.clear();
    EXPECT_EQ(Ask(request).text, "park");
    EXPECT_EQ(server_.bodies.at(0)[form.field], form.value) << form.field;
    EXPECT_FALSE(server_.bodies.at(0).contains("response_format"));
    EXPECT_EQ(server_.bodies.at(0)["messages"][1]["content"], "where?");
    EXPECT_EQ(server_.bodies.at(0)["max_tokens"], request.max_tokens);
  }
}

TEST_F(HttpTest, OtherServersGetChoicesAsASchema) {
  EXPECT_EQ(Ask(Choice()).text, "park");
  const Json& body = server_.bodies.at(0);
  EXPECT_EQ(body["response_format"]["json_schema"]["schema"]["properties"]["answer"]["enum"].dump(),
            R"(["park","pub"])");
  EXPECT_GT(body["max_tokens"], Choice().max_tokens);
}

TEST_F(HttpTest, SchemasGoAsAGrammarToLlamaCppWhereItCanHoldThem) {
  server_.server_header = "llama.cpp";
  Request request = Question();
  request.constraint.json_schema =
      R"({"type":"object","properties":{"go":{"type":"boolean"}},"required":["go"],"additionalProperties":false})";
  server_.script = [](int, const Json&, httplib::Response& response) {
    response.set_content(Chat(R"({"go":true})"), "application/json");
  };
  EXPECT_EQ(Ask(request).text, R"({"go":true})");
  EXPECT_THAT(server_.bodies.at(0)["grammar"].get<std::string>(), HasSubstr(R"("\"go\":")"));
  EXPECT_FALSE(server_.bodies.at(0).contains("response_format"));
  request.constraint.json_schema =
      R"({"type":"object","properties":{"go":{"type":"array","items":{"type":"string"},"uniqueItems":true}}})";
  Ask(request);
  EXPECT_FALSE(server_.bodies.at(1).contains("grammar"));
  EXPECT_TRUE(server_.bodies.at(1).contains("response_format"));
}

TEST_F(HttpTest, AGrammarThatIsRefusedBecomesAResponseFormat) {
  server_.server_header = "llama.cpp";
  server_.script = [](int, const Json& body, httplib::Response& response) {
    if (body.contains("grammar")) {
      response.status = 400;
      response.set_content(R"({"error":{"code":400,"message":"failed to parse grammar",)"
                           R"("type":"invalid_request_error"}})",
                           "application/json");
    } else {
      response.set_content(Chat(R"({"answer":"park"})"), "application/json");
    }
  };
  EXPECT_EQ(AskAgain(Choice()).text, "park");
  EXPECT_EQ(server_.bodies.size(), 2u);
}

// Else the server's own defaults, or those of the model's files, would be mixed in.
TEST_F(HttpTest, ServersWithSamplingOfTheirOwnAreToldAllOfIt) {
  const auto sent = [&](const char* owner, const Request& request) {
    server_.models = Json{{"data", Json::array({{{"id", "m"}, {"owned_by", owner}}})}}.dump();
    server_.bodies.clear();
    Ask(request);
    return server_.bodies.at(0);
  };
  for (const char* owner : {"vllm", "sglang"}) {
    const Json body = sent(owner, Question());
    EXPECT_EQ(body["top_k"], -1) << owner;
    EXPECT_EQ(body["min_p"], 0) << owner;
    EXPECT_EQ(body["repetition_penalty"], 1) << owner;
    EXPECT_FALSE(body.contains("samplers")) << owner;
  }
  Request request = Question();
  Json body = sent("llamacpp", request);
  EXPECT_EQ(body["top_k"], -1);
  EXPECT_EQ(body["min_p"], 0);
  EXPECT_EQ(body["repeat_penalty"], 1);
  EXPECT_EQ(body["samplers"].dump(), R"(["penalties","top_k","temperature","top_p","min_p"])");
  EXPECT_FALSE(body.contains("repetition_penalty"));
  EXPECT_FALSE(body.contains("repeat_last_n"));
  request.sampling.top_k = 7;
  request.sampling.repetition_penalty = 1.5f;
  body = sent("llamacpp", request);
  EXPECT_EQ(body["top_k"], 7);
  EXPECT_EQ(body["repeat_penalty"], 1.5);
  EXPECT_GE(body["repeat_last_n"].get<int>(), 100'000);  // all of the prompt, as here
  EXPECT_FALSE(sent("someone", Question()).contains("top_k"));
}

TEST_F(HttpTest, AFormThatIsRefusedIsGivenUpOnceForAll) {
  server_.script = [](int, const Json& body, httplib::Response& response) {
    if (body.contains("response_format")) {
      response.status = 400;
      response.set_content(ErrorBody("This server has no response_format"), "application/json");
    } else {
      response.set_content(Chat("park"), "application/json");
    }
  };
  Numbered<HttpLlm> llm(Options());
  std::vector<Completion> done;
  for (int i = 0; i < 3; ++i) llm.Send(Choice());
  while (done.size() < 3) llm.Wait(done);
  EXPECT_EQ(server_.bodies.size(), 4u);
  EXPECT_THAT(server_.bodies.at(1)["messages"][1]["content"].get<std::string>(),
              HasSubstr("where?\n\nAnswer with exactly one of: park, pub"));
}

TEST_F(HttpTest, ParametersThatAreRefusedAreChangedOnceForAll) {
  server_.script = [](int, const Json& body, httplib::Response& response) {
    response.status = 400;
    if (body.contains("max_tokens")) {
      response.set_content(
          ErrorBody("'max_tokens' is not supported: use 'max_completion_tokens'", "max_tokens"), "");
    } else if (body.contains("temperature")) {
      response.set_content(ErrorBody("Only the default of temperature is supported"), "");
    } else if (body.contains("seed") || body.contains("top_p")) {
      response.set_content(
          R"({"detail":[{"loc":["body","seed"],"msg":"forbidden"},{"loc":["body","top_p"]}]})", "");
    } else {
      response.status = 200;
      response.set_content(Chat("park"), "application/json");
    }
  };
  Numbered<HttpLlm> llm(Options());
  std::vector<Completion> done;
  Request request = Choice();
  request.max_tokens = 9;
  for (int i = 0; i < 8; ++i) llm.Send(request);
  while (done.size() < 8) llm.Wait(done);
  for (const Completion& completion : done) EXPECT_EQ(completion.text, "park");
  EXPECT_EQ(server_.bodies.size(), 11u);  // three refusals, eight answers
  const Json& last = server_.bodies.back();
  EXPECT_EQ(last["max_completion_tokens"], 9 + 16);
  EXPECT_TRUE(last.contains("response_format"));  // which was not the trouble
  for (const char* name : {"max_tokens", "temperature", "seed", "top_p"})
    EXPECT_FALSE(last.contains(name)) << name;
}

TEST_F(HttpTest, AnAnswerOfAKnownLengthIsNotEndedByTheModel) {
  Request request = Question();
  Ask(request);
  EXPECT_FALSE(server_.bodies.back().contains("ignore_eos"));
  request.known_output_tokens = request.max_tokens = 12;
  Ask(request);
  EXPECT_EQ(server_.bodies.back()["ignore_eos"], true);
  EXPECT_EQ(server_.bodies.back()["max_tokens"], 12);
  // A server that does not know the field is asked without it.
  server_.script = [](int, const Json& body, httplib::Response& response) {
    response.status = body.contains("ignore_eos") ? 400 : 200;
    response.set_content(
        body.contains("ignore_eos") ? ErrorBody("Unrecognized request argument: ignore_eos") : Chat("park"),
        "application/json");
  };
  EXPECT_EQ(Ask(request).text, "park");
}

TEST_F(HttpTest, PrioritiesAreSentWhereTheServerIsSaidToKnowThem) {
  Request request = Question();
  request.priority = 7;
  const auto sent = [&](const std::string& options) {
    server_.bodies.clear();
    Ask(request, HttpOptions::Parse(server_.Url() + "?model=m" + options));
    return server_.bodies.at(0);
  };
  EXPECT_FALSE(sent("").contains("priority"));
  server_.models = R"({"data":[{"id":"m","owned_by":"throng"}]})";
  EXPECT_EQ(sent("")["priority"], 7);
  EXPECT_FALSE(sent("&priority=off").contains("priority"));
  server_.models = R"({"data":[{"id":"m"}]})";
  EXPECT_EQ(sent("&priority=low-first")["priority"], 7);
  EXPECT_EQ(sent("&priority=high-first")["priority"], -7);
  EXPECT_EQ(sent("&priority=high-first&priority_name=rank")["rank"], -7);
  server_.script = [](int, const Json& body, httplib::Response& response) {
    response.status = body.contains("priority") ? 400 : 200;
    response.set_content(body.contains("priority")
                             ? ErrorBody("Got priority 7 but priority scheduling is not enabled.")
                             : Chat("park"),
                         "application/json");
  };
  EXPECT_EQ(sent("&priority=low-first")["priority"], 7);
  EXPECT_EQ(server_.bodies.size(), 2u);
  EXPECT_THROW(HttpOptions::Parse(server_.Url() + "?priority=first"), Error);
}

TEST_F(HttpTest, ARefusalThatNamesNothingIsNotTriedInOtherForms) {
  server_.script = [](int, const Json&, httplib::Response& response) {
    response.status = 400;
    response.set_content(ErrorBody("no"), "application/json");
  };
  EXPECT_EQ(Ask(Choice()).error->Code(), ErrorCode::kUnsupported);
  EXPECT_EQ(server_.bodies.size(), 1u);
  // Nor is one that the change does not help against repeated for ever.
  server_.script = [](int, const Json& body, httplib::Response& response) {
    response.status = 400;
    response.set_content(ErrorBody("'max_tokens' or 'max_completion_tokens' is too large"),
                         "application/json");
  };
  server_.bodies.clear();
  EXPECT_EQ(Ask(Choice()).error->Code(), ErrorCode::kUnsupported);
  EXPECT_EQ(server_.bodies.size(), 2u);
}

TEST_F(HttpTest, ManyCallsRunAtOnce) {
  std::promise<void> all_arrived;
  const std::shared_future<void> arrived = all_arrived.get_future().share();
  std::atomic<int> num_arrived = 0;
  server_.script = [&](int n, const Json& body, httplib::Response& response) {
    if (n > 0) {  // the first goes alone
      if (++num_arrived == 8) all_arrived.set_value();
      if (arrived.wait_for(std::chrono::seconds(4)) != std::future_status::ready) response.status = 400;
    }
    response.set_content(Chat(body["messages"][1]["content"]), "application/json");
  };
  Numbered<HttpLlm> llm(Options());
  Request request = Question();
  for (int i = 0; i < 9; ++i) {
    request.prompt = std::to_string(i);
    llm.Send(request);
  }
  std::vector<Completion> done;
  while (done.size() < 9) llm.Wait(done);
  EXPECT_EQ(llm.GetStats().calls, 9u);
  for (const Completion& completion : done) EXPECT_EQ(completion.text, std::to_string(completion.id - 1));
}

TEST_F(HttpTest, NoMoreRunAtOnceThanAllowed) {
  std::atomic<int> at_once = 0;
  std::atomic<int> most = 0;
  server_.script = [&](int, const Json&, httplib::Response& response) {
    most = std::max(most.load(), ++at_once);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    --at_once;
    response.set_content(Chat("park"), "application/json");
  };
  HttpOptions options = Options();
  options.in_flight = 3;
  Numbered<HttpLlm> llm(options);
  for (int i = 0; i < 60; ++i) llm.Send(Question());
  std::vector<Completion> done;
  while (done.size() < 60) llm.Wait(done);
  EXPECT_EQ(most, 3);
}

TEST_F(HttpTest, CallsThatWaitAreMadeByPriority) {
  std::promise<void> all_submitted;
  const std::shared_future<void> submitted = all_submitted.get_future().share();
  server_.script = [&](int, const Json&, httplib::Response& response) {
    submitted.wait_for(std::chrono::seconds(4));
    response.set_content(Chat("park"), "application/json");
  };
  HttpOptions options = Options();
  options.in_flight = 1;
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
  for (const Json& body : server_.bodies)
    order.push_back(std::stoi(body["messages"][1]["content"].get<std::string>()));
  ASSERT_EQ(order.size(), 12u);
  // The first may have been taken before all were there.
  EXPECT_TRUE(std::is_sorted(order.begin() + 1, order.end(), std::greater<>()));
}

TEST_F(HttpTest, ACallThatIsRaisedIsMadeBeforeOthers) {
  std::promise<void> all_submitted;
  const std::shared_future<void> submitted = all_submitted.get_future().share();
  server_.script = [&](int, const Json&, httplib::Response& response) {
    submitted.wait_for(std::chrono::seconds(4));
    response.set_content(Chat("park"), "application/json");
  };
  HttpOptions options = Options();
  options.in_flight = 1;
  Numbered<HttpLlm> llm(options);
  Request request = Question();
  std::vector<uint64_t> ids;
  for (int i = 0; i < 4; ++i) {
    request.prompt = std::to_string(i);
    request.priority = i;
    ids.push_back(llm.Send(request));
  }
  llm.Raise(ids[3], -1);
  llm.Raise(ids[0], -2);
  llm.Raise(99, 0);
  all_submitted.set_value();
  std::vector<Completion> done;
  while (done.size() < 4) llm.Wait(done);
  std::string order;
  for (const Json& body : server_.bodies) order += body["messages"][1]["content"].get<std::string>();
  EXPECT_EQ(order, "0312");
}

TEST_F(HttpTest, CancelAndDestructionDoNotWaitForTheServer) {
  server_.script = [this](int, const Json&, httplib::Response& response) {
    ++begun_;
    response.set_chunked_content_provider("application/json", [this](size_t, httplib::DataSink& sink) {
      for (int i = 0; i < 1000 && sink.is_writable(); ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      ++gone_;
      return false;
    });
  };
  const auto begin = std::chrono::steady_clock::now();
  {
    HttpOptions options = Options();
    options.in_flight = 2;
    options.timeout = 60;
    Numbered<HttpLlm> llm(options);
    uint64_t ids[4];
    for (uint64_t& id : ids) id = llm.Send(Question());
    std::vector<Completion> done;
    while (begun_ < 2) llm.Wait(done, 0.02);
    EXPECT_TRUE(done.empty());
    llm.Cancel(ids[0]);
    llm.Cancel(ids[3]);
    while (done.size() < 2) llm.Wait(done);
    for (const Completion& completion : done) {
      EXPECT_TRUE(completion.id == ids[0] || completion.id == ids[3]);
      EXPECT_EQ(completion.finish, FinishReason::kCancelled);
    }
    while (gone_ == 0 && std::chrono::steady_clock::now() - begin < std::chrono::seconds(3))
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    EXPECT_GE(gone_, 1);  // the connection was closed
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3));
}

}  // namespace
}  // namespace throng::llm
