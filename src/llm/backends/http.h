// A backend that asks a server over the network. The server must speak OpenAI's chat completions.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "llm/backends/dialect.h"
#include "llm/backends/in_flight_limit.h"
#include "llm/llm.h"

namespace throng::llm {

struct HttpOptions {
  static constexpr int kMostInFlight = 512;

  std::string origin;        // "http://localhost:8000"
  std::string path = "/v1";  // before /chat/completions
  std::string model;         // empty: the first that the server lists
  int in_flight =
      kMostInFlight;            // most requests at once; how many there are follows from how the server copes
  double connect_timeout = 10;  // seconds
  double timeout = 300;         // seconds from a request to the last byte of its answer
  std::string api_key;          // never shown

  // "http://host:8000/v1?model=name&in_flight=8": options after ?, separated by &. The key comes from
  // $THRONG_API_KEY, else $OPENAI_API_KEY. Throws kInvalid.
  static HttpOptions Parse(std::string_view url);
};

// One thread sends all requests, smaller priorities first, and makes one attempt of each. It learns how the
// server wants to be asked (dialect.h): what a server refuses by name is changed for all calls. Answers are
// not checked against constraints: src/llm/decorators/retry.h does that. Errors:
//   kUnavailable  unreachable, busy, failing, too slow; retry_after_s is what the server says, else 0
//   kBadAnswer    status 200 without an answer, or a filter that refuses this prompt
//   kExhausted    the prompt is beyond the model's context
//   kUnsupported  the server refuses this request
//   kInvalid      it would refuse any: wrong key, no quota, no such model
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
    uint64_t number = 0;  // in order of arrival
    bool sent = false;
    bool cancelled = false;
  };
  struct Transfer;
  class Curl;

  void Loop();
  void StartJobs();
  void StopCancelled();
  void Complete(std::shared_ptr<Job> job, Completion completion);
  void SendChat(std::shared_ptr<Job> job);
  void OnDone(Transfer& transfer);
  void OnChat(Transfer& transfer);
  void OnModels(const Transfer& transfer);
  Completion Read(Transfer& transfer) const;
  Completion ReadFailure(const Transfer& transfer) const;
  std::string Where(const std::string& endpoint) const;

  const HttpOptions options_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();

  // Used by the loop's thread alone.
  std::unique_ptr<Curl> curl_;
  std::map<uint64_t, std::unique_ptr<Transfer>>
      transfers_;  // by number; chats and questions about the server
  uint64_t last_transfer_ = 0;
  size_t chats_ = 0;  // among the transfers
  std::string model_;
  Dialect dialect_;
  InFlightLimit limit_;
  bool knows_server_ = false;
  bool asks_server_ = false;
  int busy_about_models_ = 0;  // times that the server was too busy to list its models
  bool heard_ = false;         // a chat was answered: what the server refuses is known
  std::optional<std::chrono::steady_clock::time_point> first_sent_;

  mutable std::mutex mutex_;  // guards all below
  std::condition_variable done_;
  bool stop_ = false;
  bool any_cancelled_ = false;
  uint64_t last_number_ = 0;
  std::map<std::pair<int, uint64_t>, std::shared_ptr<Job>> queue_;  // by priority and number
  std::unordered_map<uint64_t, std::shared_ptr<Job>> jobs_;         // by id
  std::vector<Completion> ready_;
  Stats stats_;

  std::thread thread_;  // last: uses all above
};

}  // namespace throng::llm
