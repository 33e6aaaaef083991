#include "serve/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "engine/local_model.h"
#include "engine/testing/fake_model.h"
#include "journal/llm/journaled_llm.h"
#include "journal/people.h"
#include "journal/read/reader.h"
#include "llm/backends/http.h"
#include "serve/run/positions.h"
#include "serve/testing/raw_client.h"
#include "sim/testing/test_worlds.h"

namespace throng::serve {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using Json = nlohmann::ordered_json;

constexpr const char* kChat = "/v1/chat/completions";
constexpr const char* kText = "/v1/completions";

// A server on a free port, over a model that may answer anything.
class ServerTest : public ::testing::Test {
 protected:
  void Start(ServerOptions options = {}) {
    engine::LoadedModel fake = engine::FakeModel(engine::kChatMl);
    static_cast<engine::FakeTransformer&>(*fake.transformer).before_forward = [this](auto) {
      if (slow_) std::this_thread::sleep_for(std::chrono::milliseconds(3));
    };
    model_ = std::make_unique<engine::LocalModel>(
        engine::LocalOptions{.model = "tiny.gguf", .kv = "f32", .kv_budget_bytes = 16 << 20, .threads = 2},
        std::move(fake));
    StartServer(std::move(options), model_.get());
  }

  void StartServer(ServerOptions options, engine::LocalModel* model) {
    options.port = 0;
    server_ = std::make_unique<Server>(options, model);
    thread_ = std::thread([this] { server_->Run(); });
  }

  void TearDown() override { TearDownServer(); }

  void TearDownServer() {
    slow_ = false;
    if (server_) server_->Stop();
    if (thread_.joinable()) thread_.join();
  }

  httplib::Client MakeClient() const {
    httplib::Client client("127.0.0.1", server_->Port());
    client.set_read_timeout(60);
    return client;
  }

  // Status, and the body as JSON.
  std::pair<int, Json> Post(const std::string& path, const std::string& body) const {
    auto client = MakeClient();
    const auto reply = client.Post(path, body, "application/json");
    if (!reply) return {-1, httplib::to_string(reply.error())};
    return {reply->status, Json::parse(reply->body, nullptr, false)};
  }
  std::pair<int, Json> Post(const std::string& path, const Json& body) const {
    return Post(path, body.dump());
  }

  std::pair<int, std::string> Get(const std::string& path, const httplib::Headers& headers = {}) const {
    auto client = MakeClient();
    const auto reply = client.Get(path, headers);
    if (!reply) return {-1, httplib::to_string(reply.error())};
    return {reply->status, reply->body};
  }

  // The events of a stream, without "data: ".
  std::vector<std::string> PostStream(const std::string& path, Json body) const {
    body["stream"] = true;
    auto client = MakeClient();
    const auto reply = client.Post(path, body.dump(), "application/json");
    EXPECT_TRUE(reply);
    if (!reply) return {};
    EXPECT_EQ(reply->status, 200) << reply->body;
    EXPECT_EQ(reply->get_header_value("Content-Type"), "text/event-stream");
    std::vector<std::string> events;
    size_t begin = 0;
    for (size_t end; (end = reply->body.find("\n\n", begin)) != std::string::npos; begin = end + 2) {
      const std::string event = reply->body.substr(begin, end - begin);
      EXPECT_THAT(event, StartsWith("data: "));
      events.push_back(event.substr(6));
    }
    EXPECT_EQ(begin, reply->body.size());
    return events;
  }

  int InFlight() const { return Json::parse(Get("/health").second)["requests"]; }

  void ExpectSoonIdle() const {
    for (int i = 0; i < 300 && InFlight() > 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(InFlight(), 0);
  }

  std::atomic<bool> slow_ = false;  // 3 ms per token
  std::unique_ptr<engine::LocalModel> model_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

// Letters only: chunks of other bytes need not be UTF-8.
Json Letters(const char* pattern = "^[a-z]{40}$") {
  return {{"type", "json_schema"},
          {"json_schema", {{"name", "x"}, {"schema", {{"type", "string"}, {"pattern", pattern}}}}}};
}

Json ChatBody(const std::string& text = "Hello") {
  return {
      {"messages", {{{"role", "system"}, {"content", "Be brief."}}, {{"role", "user"}, {"content", text}}}},
      {"seed", 7},
      {"max_tokens", 60},
      {"response_format", Letters()}};
}

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
      {kChat, "{\"messages\": 1e999}", "not JSON"},
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

TEST_F(ServerTest, WantsTheKey) {
  Start({.access = {.api_key = "sesame"}});
  EXPECT_EQ(Get("/health").first, 200);
  EXPECT_EQ(Get("/v1/models").first, 401);
  EXPECT_EQ(Get("/metrics").first, 401);
  EXPECT_EQ(Post(kChat, ChatBody()).first, 401);
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
  EXPECT_THAT(Get("/").second, StartsWith("<!DOCTYPE html>"));
  EXPECT_EQ(Get("/viewer/main.js").first, 200);
  EXPECT_EQ(Get("/api/run").first, 404);
}

TEST_F(ServerTest, HasAPageToChat) {
  Start({.access = {.api_key = "sesame"}});
  auto client = MakeClient();
  const auto page = client.Get("/");
  EXPECT_EQ(page->status, 200);
  EXPECT_EQ(page->get_header_value("Content-Type"), "text/html; charset=utf-8");
  EXPECT_THAT(page->get_header_value("Content-Security-Policy"), HasSubstr("default-src 'none'"));
  EXPECT_THAT(page->body, HasSubstr("chat/page.js"));
  EXPECT_EQ(client.Get("/chat")->body, page->body);
  EXPECT_EQ(client.Get("/chat/page.js")->get_header_value("Content-Type"), "text/javascript; charset=utf-8");
  EXPECT_EQ(client.Get("/chat/chat.css")->get_header_value("Content-Type"), "text/css; charset=utf-8");
  EXPECT_EQ(client.Get("/viewer/state/run.js")->get_header_value("Content-Type"),
            "text/javascript; charset=utf-8");
  EXPECT_EQ(client.Get("/chat/main.js")->status, 404);
  EXPECT_EQ(client.Get("/chat/../viewer/main.js")->status, 404);
}

TEST_F(ServerTest, TakesNoMoreThanItMay) {
  Start({.max_requests = 1});
  slow_ = true;
  std::thread first([&] { EXPECT_EQ(Post(kChat, ChatBody()).first, 200); });
  while (InFlight() == 0) std::this_thread::yield();
  const auto [status, json] = Post(kChat, ChatBody());
  slow_ = false;
  first.join();
  EXPECT_EQ(status, 503);
  EXPECT_EQ(json["error"]["type"], "overloaded_error");
  EXPECT_EQ(Post(kChat, ChatBody()).first, 200);
}

TEST_F(ServerTest, CancelsWhatNobodyWaitsFor) {
  Start();
  Json body = {{"prompt", "x"}, {"max_tokens", 1}, {"response_format", Letters("^[a-z]{3000}$")}};
  ASSERT_EQ(Post(kText, body).first,
            200);  // compiles the constraint, which may take longer than the timeout below
  body["max_tokens"] = 2000;
  slow_ = true;
  for (const bool stream : {true, false}) {
    body["stream"] = stream;
    httplib::Client client("127.0.0.1", server_->Port());
    client.set_read_timeout(1);
    httplib::Request request;
    request.method = "POST";
    request.path = kText;
    request.body = body.dump();
    request.content_receiver = [](const char*, size_t, uint64_t, uint64_t) { return false; };
    const auto reply = client.send(request);
    EXPECT_FALSE(reply);  // the client gave up
    client.stop();
    ExpectSoonIdle();
  }
}

TEST_F(ServerTest, ServesManyAtOnce) {
  Start();
  const Json expected = Post(kChat, ChatBody("3")).second["choices"];
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&, i] {
      for (int j = 0; j < 4; ++j) {
        if ((i + j) % 2 == 0) {
          EXPECT_EQ(Post(kChat, ChatBody("3")).second["choices"], expected);
        } else {
          EXPECT_EQ(PostStream(kChat, ChatBody(std::to_string(i))).back(), "[DONE]");
        }
        EXPECT_EQ(Get("/metrics").first, 200);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  ExpectSoonIdle();
}

TEST_F(ServerTest, StopCancelsWhatIsStillInWork) {
  Start({.stop_seconds = 0.05});
  slow_ = true;
  std::vector<std::string> events;
  std::thread client([&] {
    events = PostStream(
        kText, {{"prompt", "x"}, {"max_tokens", 2000}, {"response_format", Letters("^[a-z]{3000}$")}});
  });
  while (InFlight() == 0) std::this_thread::yield();
  server_->Stop();
  thread_.join();
  client.join();
  ASSERT_FALSE(events.empty());
  EXPECT_THAT(events.back(), HasSubstr("the server stops"));
}

TEST_F(ServerTest, SaysWhetherItTakesRequests) {
  Start({.max_requests = 1});
  EXPECT_EQ(Get("/ready").first, 200);
  slow_ = true;
  std::thread client([&] { EXPECT_EQ(Post(kChat, ChatBody()).first, 200); });
  while (InFlight() == 0) std::this_thread::yield();
  auto asker = MakeClient();
  const auto reply = asker.Get("/ready");
  slow_ = false;
  client.join();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 503);
  EXPECT_EQ(reply->get_header_value("Retry-After"), "1");
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

TEST_F(ServerTest, FreesARequestWithin200MsOfItsClientGoing) {
  Start();
  slow_ = true;
  for (const bool stream : {false, true}) {
    const std::string body =
        Json{{"prompt", "x"}, {"max_tokens", 2000}, {"stream", stream}, {"seed", 1}}.dump();
    RawClient client(server_->Port());
    client.Send(fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}", kText,
                            body.size(), body));
    while (InFlight() == 0) std::this_thread::yield();
    const auto begin = std::chrono::steady_clock::now();
    client.Close();
    while (InFlight() > 0) std::this_thread::yield();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(200));
  }
}

TEST_F(ServerTest, FinishesWhatIsInWorkWhenItIsStopped) {
  Start();
  slow_ = true;
  std::thread client([&] { EXPECT_EQ(Post(kChat, ChatBody()).first, 200); });
  while (InFlight() == 0) std::this_thread::yield();
  RawClient idle(server_->Port());
  server_->Stop();
  EXPECT_EQ(idle.ReadAll(), "");
  client.join();
  thread_.join();
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

TEST_F(ServerTest, PacksTheViewersFilesOnce) {
  StartServer({}, nullptr);
  auto client = MakeClient();
  const std::string plain = client.Get("/viewer/page.js")->body;
  client.set_decompress(false);
  const auto packed = client.Get("/viewer/page.js", {{"Accept-Encoding", "br, gzip"}});
  EXPECT_EQ(packed->get_header_value("Content-Encoding"), "gzip");
  EXPECT_LT(packed->body.size(), plain.size() / 2);
  const auto refused = client.Get("/viewer/page.js", {{"Accept-Encoding", "gzip;q=0"}});
  EXPECT_EQ(refused->body, plain);
}

TEST_F(ServerTest, SendsPagesOnceAndThenOnlyIfTheyChange) {
  StartServer({}, nullptr);
  auto client = MakeClient();
  const auto first = client.Get("/viewer/main.js");
  EXPECT_EQ(first->get_header_value("Cache-Control"), "no-cache");
  const std::string tag = first->get_header_value("ETag");
  EXPECT_NE(tag, client.Get("/viewer/page.js")->get_header_value("ETag"));
  const auto again = client.Get("/viewer/main.js", {{"If-None-Match", tag}});
  EXPECT_EQ(again->status, 304);
  EXPECT_EQ(again->body, "");
  EXPECT_EQ(again->get_header_value("ETag"), tag);
  EXPECT_EQ(client.Get("/viewer/main.js", {{"If-None-Match", "W/\"other\""}})->status, 200);
}

TEST_F(ServerTest, TakesPagesFromAFolderWhileSomebodyWorksOnThem) {
  const auto folder = std::filesystem::temp_directory_path() / fmt::format("throng-web-{}", getpid());
  std::filesystem::create_directories(folder / "viewer");
  std::ofstream(folder / "viewer/main.js") << "changed";
  setenv("THRONG_WEB", folder.c_str(), 1);
  StartServer({}, nullptr);
  EXPECT_EQ(Get("/viewer/main.js"), (std::pair<int, std::string>(200, "changed")));
  EXPECT_EQ(Get("/viewer/page.js").first, 404);
  unsetenv("THRONG_WEB");
  std::filesystem::remove_all(folder);
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
