// A server of chat completions on a free port; each test scripts what it answers.
#pragma once

#include <httplib.h>

#include <functional>
#include <future>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "llm/backends/http_options.h"

namespace throng::llm {

inline std::string ChatOf(const nlohmann::ordered_json& message, const std::string& reason = "stop") {
  return nlohmann::ordered_json{
      {"model", "model-7"},
      {"choices", {{{"message", message}, {"finish_reason", reason}}}},
      {"usage",
       {{"prompt_tokens", 7}, {"completion_tokens", 3}, {"prompt_tokens_details", {{"cached_tokens", 5}}}}}}
      .dump();
}

inline std::string Chat(const std::string& content, const std::string& reason = "stop") {
  return ChatOf({{"role", "assistant"}, {"content", content}}, reason);
}

inline std::string ErrorBody(const std::string& message, const std::string& param = "",
                             const std::string& code = "") {
  return nlohmann::ordered_json{
      {"error", {{"message", message}, {"type", code}, {"param", param}, {"code", code}}}}
      .dump();
}

class ChatServer {
 public:
  using Json = nlohmann::ordered_json;

  ChatServer() {
    server_.Post("/v1/chat/completions",
                 [this](const httplib::Request& request, httplib::Response& response) {
                   int n = 0;
                   {
                     const std::lock_guard lock(mutex_);
                     n = static_cast<int>(bodies.size());
                     bodies.push_back(Json::parse(request.body));
                     authorization = request.get_header_value("Authorization");
                   }
                   script(n, Json::parse(request.body), response);
                 });
    server_.set_tcp_nodelay(true);
    server_.new_task_queue = [] { return new httplib::ThreadPool(40); };
    server_.Get("/v1/models", [this](const httplib::Request&, httplib::Response& response) {
      response.status = models_status;
      response.set_header("Server", server_header);
      response.set_content(models, "application/json");
    });
    server_.Get("/version", [this](const httplib::Request&, httplib::Response& response) {
      response.set_content(Json{{"version", version}}.dump(), "application/json");
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();
  }
  ~ChatServer() {
    release_.set_value();
    Stop();
  }

  std::string Url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/v1"; }
  int Port() const { return port_; }
  HttpOptions Options() const {
    HttpOptions options = HttpOptions::Parse(Url());
    options.model = "m";
    options.timeout = 5;
    return options;
  }

  // Closes each connection after one reply: only then does Stop not wait for clients that keep theirs open.
  void CloseConnections() { server_.set_keep_alive_max_count(1); }
  // Nobody listens on its port any more.
  void Stop() {
    if (!thread_.joinable()) return;
    server_.stop();
    thread_.join();
  }

  // For handlers that hang: until the test is over, or so many seconds.
  void HangFor(double seconds) const { released_.wait_for(std::chrono::duration<double>(seconds)); }

  // What is answered to the n-th question, from 0.
  std::function<void(int n, const Json& body, httplib::Response& response)> script =
      [](int, const Json&, httplib::Response& response) {
        response.set_content(Chat("park"), "application/json");
      };
  std::string models = R"({"data":[{"id":"first-model"}]})";
  int models_status = 200;
  std::string server_header = "test";
  std::string version = "0.10.1";

  // What it was asked, to be read while nothing is in flight.
  std::vector<Json> bodies;
  std::string authorization;

 private:
  httplib::Server server_;
  int port_ = 0;
  std::promise<void> release_;
  std::shared_future<void> released_ = release_.get_future().share();
  std::mutex mutex_;
  std::thread thread_;
};

}  // namespace throng::llm
