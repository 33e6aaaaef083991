// A server on a free port, over a model that may answer anything, and clients of it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/local_model.h"
#include "engine/testing/fake_model.h"
#include "serve/server.h"

namespace throng::serve {

using Json = nlohmann::ordered_json;

inline constexpr const char* kChat = "/v1/chat/completions";
inline constexpr const char* kText = "/v1/completions";

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
      if (event == ":") continue;  // a comment: the server was busy for long
      EXPECT_THAT(event, ::testing::StartsWith("data: "));
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
inline Json Letters(const char* pattern = "^[a-z]{40}$") {
  return {{"type", "json_schema"},
          {"json_schema", {{"name", "x"}, {"schema", {{"type", "string"}, {"pattern", pattern}}}}}};
}

inline Json ChatBody(const std::string& text = "Hello") {
  return {
      {"messages", {{{"role", "system"}, {"content", "Be brief."}}, {{"role", "user"}, {"content", text}}}},
      {"seed", 7},
      {"max_tokens", 60},
      {"response_format", Letters()}};
}

}  // namespace throng::serve
