#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <tuple>

#include "base/error.h"
#include "llm/backends/http.h"
#include "serve/testing/server_rig.h"

namespace throng::serve {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST_F(ServerTest, AnswersChats) {
  Start();
  const auto [status, json] = Post(kChat, ChatBody());
  ASSERT_EQ(status, 200) << json;
  EXPECT_EQ(json["object"], "chat.completion");
  EXPECT_EQ(json["model"], "tiny");
  const Json& choice = json["choices"].at(0);
  EXPECT_EQ(choice["message"]["role"], "assistant");
  EXPECT_EQ(choice["message"]["content"].get<std::string>().size(), 42u) << choice;  // with the quotes
  EXPECT_EQ(choice["finish_reason"], "stop");
  const Json& usage = json["usage"];
  EXPECT_EQ(usage["completion_tokens"], 42);
  EXPECT_EQ(usage["prompt_tokens"].get<int>() + 42, usage["total_tokens"]);
  EXPECT_EQ(usage["prompt_tokens_details"]["cached_tokens"], 0);

  const Json again = Post(kChat, ChatBody()).second;
  EXPECT_EQ(again["choices"], json["choices"]);
  EXPECT_NE(again["id"], json["id"]);
  EXPECT_EQ(again["usage"]["prompt_tokens_details"]["cached_tokens"], usage["prompt_tokens"].get<int>() - 1);
  Json other = ChatBody();
  other["seed"] = 8;
  EXPECT_NE(Post(kChat, other).second["choices"], json["choices"]);
}

TEST_F(ServerTest, ContinuesTexts) {
  Start();
  const Json body = {{"prompt", "ab"}, {"max_tokens", 5}, {"temperature", 0}, {"guided_choice", {"xy", "z"}}};
  const auto [status, json] = Post(kText, body);
  ASSERT_EQ(status, 200) << json;
  EXPECT_EQ(json["object"], "text_completion");
  EXPECT_THAT(json["choices"][0]["text"].get<std::string>(), ::testing::AnyOf("xy", "z"));
  EXPECT_EQ(json["usage"]["prompt_tokens"], 3);

  Json tokens = body;
  tokens["prompt"] = {1, 3 + 'a', 3 + 'b'};
  EXPECT_EQ(Post(kText, tokens).second["choices"], json["choices"]);
  const auto [short_status, short_json] =
      Post(kText, Json{{"prompt", {"ab"}}, {"response_format", Letters()}});
  ASSERT_EQ(short_status, 200) << short_json;
  EXPECT_EQ(short_json["usage"]["completion_tokens"], 16);
  EXPECT_EQ(short_json["choices"][0]["finish_reason"], "length");
}

TEST_F(ServerTest, StopsBeforeStopTexts) {
  Start();
  Json body = ChatBody();
  body["response_format"] = Letters("^aaaa-[a-z]{9}$");
  body["stop"] = {"none", "-"};
  EXPECT_EQ(Post(kChat, body).second["choices"][0]["message"]["content"], "\"aaaa");
}

TEST_F(ServerTest, StreamsTheSameAnswer) {
  Start();
  Json body = ChatBody();
  const Json whole = Post(kChat, body).second;
  body["stream_options"] = {{"include_usage", true}};
  const std::vector<std::string> events = PostStream(kChat, body);
  ASSERT_GT(events.size(), 4u);
  EXPECT_EQ(events.back(), "[DONE]");
  EXPECT_EQ(Json::parse(events[0])["choices"][0]["delta"]["role"], "assistant");
  std::string text;
  for (size_t i = 0; i + 2 < events.size(); ++i) {
    const Json chunk = Json::parse(events[i]);
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    text += chunk["choices"][0]["delta"].value("content", "");
    const Json& finish = chunk["choices"][0]["finish_reason"];
    EXPECT_EQ(finish, i + 3 == events.size() ? Json("stop") : Json()) << i;
  }
  EXPECT_EQ(text, whole["choices"][0]["message"]["content"]);
  EXPECT_EQ(Json::parse(events[events.size() - 2])["usage"]["completion_tokens"], 42);

  const std::vector<std::string> plain =
      PostStream(kText, {{"prompt", "a"}, {"guided_choice", {"only"}}, {"max_tokens", 9}});
  text.clear();
  for (size_t i = 0; i + 1 < plain.size(); ++i) text += Json::parse(plain[i])["choices"][0]["text"];
  EXPECT_EQ(text, "only");
}

TEST_F(ServerTest, RefusesWhatItDoesNotUnderstand) {
  Start();
  const std::string deep = std::string(100000, '[');
  const std::tuple<const char*, std::string, const char*> bodies[] = {
      {kChat, "", "body: not JSON at byte 1"},
      {kChat, "{\"messages\": [}", "not JSON at byte"},
      {kChat, "{\"messages\": 1e999}", "body: a number is larger than any"},
      {kChat, "\xff\xfe", "not JSON"},
      {kChat, deep, "nested deeper"},
      {kChat, "[]", "allowed: object"},
      {kChat, "{}", "messages: it is missing"},
      {kChat, R"({"messages":[]})", "messages"},
      {kChat, R"({"messages":["x"]})", "messages[0]"},
      {kChat, R"({"messages":[{"role":"user"}]})", "messages[0].content"},
      {kChat, R"({"messages":[{"role":"user","content":[{"type":"image_url"}]}]})", "image_url"},
      {kChat, R"({"messages":[{"role":"wizard","content":7}]})", "content"},
      {kChat, R"({"messages":[{"role":"user","content":"x"}],"max_tokens":0})", "max_tokens: found 0"},
      {kChat, R"({"messages":[{"role":"user","content":"x"}],"max_tokens":99999})", "exceed the context"},
      {kChat, R"({"messages":[{"role":"user","content":"x"}],"temperature":"hot"})", "temperature"},
      {kChat, R"({"messages":[{"role":"user","content":"x"}],"temperature":-1})", "temperature: found -1"},
      {kChat, R"({"messages":[{"role":"user","content":"x"}],"stop":[1]})", "stop"},
      {kChat, R"({"messages":[{"role":"user","content":"x"}],"seed":1.5})", "seed"},
      {kChat, R"({"messages":[{"role":"user","content":"x"}],"stream":"yes"})", "stream"},
      {kChat, R"({"messages":[{"role":"user","content":"x"}],"tools":[{}]})",
       "tools[0].function: it is missing"},
      {kChat, R"({"messages":[{"role":"user","content":"x"}],"response_format":{"type":"xml"}})", "xml"},
      {kChat, R"({"messages":[{"role":"user","content":"x"}],"response_format":7})", "response_format"},
      {kChat, R"({"messages":[{"role":"user","content":"x"}],"grammar":"root = x"})", "grammar"},
      {kChat, R"({"messages":[{"role":"user","content":"x"}],"guided_regex":"(a"})", "has no )"},
      {kChat, R"({"messages":[{"role":"user","content":"x"}],"guided_json":{"type":"x"}})", "JSON schema"},
      {kChat, R"({"messages":[{"role":"user","content":"x"}],"guided_choice":["a",""]})", "guided_choice"},
      {kText, R"({"prompt":7})", "prompt"},
      {kText, R"({"prompt":[1,-1]})", "prompt: found -1"},
      {kText, R"({"prompt":[1,100000]})", "100000 is not in the vocabulary"},
      {kText, Json{{"prompt", std::string(5000, 'x')}}.dump(), "5001 tokens, the context is 2048"},
  };
  for (const auto& [path, body, message] : bodies) {
    const auto [status, json] = Post(path, body);
    EXPECT_EQ(status, 400) << body.substr(0, 200);
    ASSERT_TRUE(json.is_object() && json.contains("error")) << json;
    EXPECT_THAT(json["error"]["message"].get<std::string>(), HasSubstr(message));
    EXPECT_EQ(json["error"]["type"], "invalid_request_error");
  }
  EXPECT_EQ(InFlight(), 0);
}

TEST_F(ServerTest, RefusesOtherAddressesAndLargeBodies) {
  Start({.limits = {.body_bytes = 1000}});
  EXPECT_EQ(Get("/nowhere").first, 404);
  EXPECT_THAT(Get("/nowhere").second, HasSubstr("GET /nowhere: there is no such endpoint"));
  EXPECT_EQ(Get(kChat).first, 405);
  const auto [status, json] = Post(kChat, ChatBody(std::string(2000, 'x')));
  EXPECT_EQ(status, 413);
  EXPECT_THAT(json["error"]["message"].get<std::string>(), HasSubstr("1000 bytes"));
}

TEST_F(ServerTest, SpeaksOfErrorsToOllamasClientsAsOllamaDoes) {
  Start({.access = {.api_key = "sesame"}, .limits = {.body_bytes = 1000}});
  auto client = MakeClient();
  const auto error = [](const auto& reply, int status) {
    EXPECT_EQ(reply->status, status) << reply->body;
    EXPECT_EQ(reply->get_header_value("Content-Type"), "application/json");
    const Json json = Json::parse(reply->body);
    EXPECT_TRUE(json["error"].is_string() && json.size() == 1) << json;
    return json["error"].is_string() ? json["error"].template get<std::string>() : "";
  };
  const std::string large(2000, 'x');
  EXPECT_THAT(error(client.Get("/api/tags"), 401), HasSubstr("the API key is missing"));
  EXPECT_THAT(error(client.Post("/api/pull", "{}", "application/json"), 404), HasSubstr("POST /api/pull"));
  client.set_default_headers({{"Authorization", "Bearer sesame"}});
  EXPECT_THAT(error(client.Get("/api/chat"), 405), HasSubstr("allowed: POST"));
  EXPECT_THAT(error(client.Post("/api/chat", "{", "application/json"), 400), StartsWith("body: "));
  EXPECT_THAT(error(client.Post("/api/generate", R"({"prompt":1})", "application/json"), 400),
              StartsWith("prompt: "));
  EXPECT_THAT(error(client.Post("/api/chat", large, "application/json"), 413), HasSubstr("1000 bytes"));
  const auto chunks = [&](size_t, httplib::DataSink& sink) {
    sink.write(large.data(), large.size());
    sink.done();
    return true;
  };
  EXPECT_THAT(error(client.Post("/api/chat", chunks, "application/json"), 413), HasSubstr("1000 bytes"));
}

TEST_F(ServerTest, WantsTheKey) {
  Start({.access = {.api_key = "sesame"}});
  EXPECT_EQ(Get("/health").first, 200);
  EXPECT_EQ(Get("/v1/models").first, 401);
  EXPECT_EQ(Get("/metrics").first, 401);
  const auto [status, json] = Post(kChat, ChatBody());
  EXPECT_EQ(status, 401);
  EXPECT_EQ(json["error"]["code"], "invalid_api_key");
  EXPECT_EQ(Get("/v1/models", {{"Authorization", "Bearer sesam"}}).first, 401);
  EXPECT_EQ(Get("/v1/models", {{"Authorization", "Bearer sesame"}}).first, 200);
}

TEST_F(ServerTest, TellsAboutItself) {
  Start();
  Post(kChat, ChatBody());
  const Json models = Json::parse(Get("/v1/models").second);
  EXPECT_EQ(models["data"].at(0)["id"], "tiny");
  EXPECT_EQ(models["data"][0]["max_model_len"], 2048);
  const std::string metrics = Get("/metrics").second;
  EXPECT_THAT(metrics, HasSubstr("# TYPE throng:http_requests_total counter\nthrong:http_requests_total 3"));
  EXPECT_THAT(metrics, HasSubstr("throng:http_errors_total 0"));
  for (const char* name : {"time_to_first_token", "e2e_request_latency", "request_queue_time",
                           "request_prefill_time", "request_decode_time", "request_time_per_output_token"})
    EXPECT_THAT(metrics, HasSubstr(fmt::format("throng:{}_seconds_count 1\n", name)));
  EXPECT_THAT(Get("/").second, StartsWith("<!DOCTYPE html>"));
  EXPECT_EQ(Get("/viewer/main.js").first, 200);
  EXPECT_EQ(Get("/api/run").first, 404);
}

TEST_F(ServerTest, LogsRequestsButNotPromptsUnlessAsked) {
  const auto path = std::filesystem::temp_directory_path() / fmt::format("throng-serve-log-{}", getpid());
  for (const bool prompts : {false, true}) {
    std::filesystem::remove(path);
    Start({.request_log = path, .log_prompts = prompts});
    auto client = MakeClient();
    const std::string trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const auto reply = client.Post(kChat, {{"X-Request-Id", "mine"}, {"traceparent", trace}},
                                   ChatBody("secret").dump(), "application/json");
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->get_header_value("X-Request-Id"), "mine");
    Get("/nowhere?password=secret");
    TearDown();
    server_.reset();
    std::ifstream file(path);
    std::string line;
    ASSERT_TRUE(std::getline(file, line));
    const Json first = Json::parse(line);
    EXPECT_EQ(first["id"], "mine");
    EXPECT_EQ(first["traceparent"], trace);
    EXPECT_EQ(first["address"], "127.0.0.1");
    EXPECT_EQ(first["method"], "POST");
    EXPECT_EQ(first["path"], kChat);
    EXPECT_EQ(first["status"], 200);
    EXPECT_EQ(first["answer_tokens"], 42);
    EXPECT_GT(first["bytes"], 200);
    EXPECT_GT(first["seconds"], 0);
    EXPECT_THAT(first["time"].get<std::string>(), ::testing::MatchesRegex("20..-..-..T..:..:..[.]...Z"));
    EXPECT_EQ(line.find("secret") != std::string::npos, prompts);
    ASSERT_TRUE(std::getline(file, line));
    EXPECT_EQ(Json::parse(line)["status"], 404);
    EXPECT_EQ(line.find("secret"), std::string::npos);
  }
  std::filesystem::remove(path);
}

TEST_F(ServerTest, ListensOnIpv6) {
  try {
    StartServer({.host = "::1"}, nullptr);
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
  httplib::Client client("::1", server_->Port());
  const auto reply = client.Get("/health", {{"Host", "[::1]"}});
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200);
}

TEST_F(ServerTest, StopsBeforeItRuns) {
  Server server({.port = 0}, nullptr);
  server.Stop();
  server.Run();
}

TEST_F(ServerTest, RefusesOptionsThatCannotWork) {
  StartServer({}, nullptr);
  EXPECT_THROW(Server({.port = server_->Port()}, nullptr), Error);
  EXPECT_THROW(Server({.host = "256.1.1.1", .port = 0}, nullptr), Error);
  EXPECT_THROW(Server({.port = 0, .max_requests = 0}, nullptr), Error);
}

TEST_F(ServerTest, AnswersTheHttpBackend) {
  Start();
  llm::HttpLlm http(llm::HttpOptions::Parse(fmt::format("http://127.0.0.1:{}", server_->Port())));
  llm::Request request;
  request.prompt = "What now?";
  request.sampling.temperature = 1;
  request.constraint.choices = {"yes", "no", "perhaps"};
  for (uint32_t agent = 0; agent < 20; ++agent) {
    request.id = request.key.agent = agent;
    http.Submit(request);
  }
  request.constraint = {};
  request.constraint.json_schema =
      R"({"type":"object","properties":{"b":{"type":"integer","minimum":1,"maximum":9},"a":{"type":"boolean"}},)"
      R"("required":["b","a"],"additionalProperties":false})";
  const uint64_t with_schema = request.id = 20;
  http.Submit(request);
  std::vector<llm::Completion> done;
  while (done.size() < 21) http.Wait(done);
  for (const llm::Completion& completion : done) {
    ASSERT_EQ(completion.finish, llm::FinishReason::kStop)
        << (completion.error ? completion.error->what() : completion.text);
    EXPECT_GT(completion.prompt_tokens, 9);
    if (completion.id == with_schema) {
      EXPECT_THAT(completion.text, ::testing::MatchesRegex(R"(."b":[1-9],"a":(true|false).)"))
          << completion.text;
    } else {
      EXPECT_THAT(completion.text, ::testing::AnyOf("yes", "no", "perhaps"));
    }
  }
  request.prompt = std::string(9000, 'x');  // refused: not asked again
  http.Submit(request);
  done.clear();
  http.Wait(done);
  ASSERT_EQ(done.size(), 1u);
  ASSERT_TRUE(done[0].error);
  EXPECT_THAT(done[0].error->what(), HasSubstr("the context is 2048"));
}

}  // namespace
}  // namespace throng::serve
