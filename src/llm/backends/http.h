// A backend that asks a server over the network. The server must speak OpenAI's chat completions.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "llm/backends/chat_protocol.h"
#include "llm/llm.h"

namespace httplib {
class Client;
}

namespace throng::llm {

struct HttpOptions {
  std::string origin;           // "http://localhost:8000"
  std::string path = "/v1";     // before /chat/completions
  std::string model;            // empty: the first that the server lists
  int threads = 16;             // calls at once
  double connect_timeout = 10;  // seconds
  double timeout = 300;         // seconds for one attempt
  int attempts = 5;  // attempts of each call if the server is unreachable, busy (429) or failing (5xx)
  // Seconds before the second attempt; doubles, with jitter. A server's Retry-After takes precedence.
  double backoff = 0.5;
  std::string api_key;  // never shown

  // "http://host:8000/v1?model=name&threads=8": options after ?, separated by &. The key comes from
  // $THRONG_API_KEY, else $OPENAI_API_KEY. Throws kInvalid.
  static HttpOptions Parse(std::string_view url);
};

// Passes constraints on in a form that the server knows, and checks every answer: after two wrong ones in a
// row a call completes with kUnsupported. A call cancelled after failed attempts completes with the error of
// the last one.
class HttpLlm : public Llm {
 public:
  explicit HttpLlm(const HttpOptions& options);
  ~HttpLlm() override;

  void Submit(Request request) override;
  void Wait(std::vector<Completion>& done, double seconds = kForever) override;
  void Cancel(uint64_t id) override;
  double Now() const override;
  std::string Identity() const override;
  Stats GetStats() const override;

 private:
  struct Job {
    Request request;
    uint64_t number;  // in order of arrival
    int worker = -1;
    std::atomic<bool> cancelled = false;
  };
  struct Worker {
    std::unique_ptr<httplib::Client> client;
    AnswerChecker checker;
    std::thread thread;
  };
  struct Reply {
    int status = 0;
    std::string body;
    std::string failure;  // not empty: there was no reply
    double retry_after = -1;
  };

  std::unique_ptr<httplib::Client> MakeClient() const;
  void WorkerLoop(int index);
  Completion Serve(Worker& worker, const Job& job);
  std::optional<Completion> Ask(Worker& worker, const Job& job, std::optional<std::string>& wrong_answer);
  std::string ModelName(Worker& worker, const Job& job);
  Reply Send(Worker& worker, const Job& job, const char* method, const std::string& path,
             const std::string& body);
  Reply SendOnce(Worker& worker, const Job& job, const char* method, const std::string& path,
                 const std::string& body);
  void Pause(const Job& job, double seconds);
  void StopCancelled();

  HttpOptions options_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  // The first mode that the server has not refused.
  std::atomic<ConstraintMode> mode_ = ConstraintMode::kResponseFormat;
  std::vector<std::unique_ptr<Worker>> workers_;

  std::mutex model_mutex_;
  std::string model_;  // guarded by model_mutex_

  mutable std::mutex mutex_;  // guards all below
  std::condition_variable work_;
  std::condition_variable done_;
  std::condition_variable pause_;
  bool stop_ = false;
  uint64_t last_number_ = 0;
  std::map<std::pair<int, uint64_t>, std::shared_ptr<Job>> queue_;  // by priority and number
  std::unordered_map<uint64_t, std::shared_ptr<Job>> jobs_;         // by id
  std::vector<Completion> ready_;
  Stats stats_;
};

}  // namespace throng::llm
