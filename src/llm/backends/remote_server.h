// One server that is asked over HTTP: how it wants to be asked, how many calls it copes with, and whether it
// is there. Makes its requests and reads its replies; whoever has it sends them.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "llm/backends/dialect.h"
#include "llm/backends/http_options.h"
#include "llm/backends/http_transfers.h"
#include "llm/backends/in_flight_limit.h"
#include "llm/llm.h"

namespace throng::llm {

// A call on its way to a server.
struct ChatTransfer : HttpTransfer {
  nlohmann::ordered_json sent;
  int forms = 0;  // how often the server has refused it by name
  uint64_t limit_number = 0;
};

class RemoteServer {
 public:
  explicit RemoteServer(HttpOptions options)
      : options_(std::move(options)), model_(options_.model), limit_(options_.in_flight, options_.adapts) {
    dialect_.SendPriority(options_.priority, options_.priority_name);
  }

  std::string Where(const std::string& endpoint = "") const {
    return "llm: " + options_.Address() + endpoint;
  }
  const std::string& Model() const { return model_; }

  // What is asked before it takes calls: its models, and its version where that matters. Null if it is known
  // already, or being asked.
  std::unique_ptr<HttpTransfer> NextQuestion();
  // Learns from the reply. Why the server cannot take calls, if it cannot; then it can be asked again.
  std::optional<Completion> OnQuestion(const HttpTransfer& transfer);
  bool IsKnown() const { return state_ == State::kKnown; }
  bool IsAsked() const { return state_ == State::kAsked; }
  int64_t Context() const { return dialect_.Context(); }  // in tokens; 0: it has not said

  // Whether it copes with one more call. The first goes alone, so that only one is refused if the server
  // wants another form; but not for long, as it may take long to answer, and a refusal comes at once. After a
  // failure one goes alone until it is answered.
  bool HasRoom() const { return IsKnown() && calls_ < Limit(); }
  double Load() const { return static_cast<double>(calls_) / Limit(); }  // 1: it has no room
  // Says that calls wait for those that it has: from then on, their times tell how many it copes with.
  void WouldTakeMore() { full_through_ = last_sent_; }

  std::unique_ptr<ChatTransfer> Ask(const Request& request);
  // A call that was refused in this form, in another; null if there is none. What a server refuses by name
  // (400) is changed for all calls.
  std::unique_ptr<ChatTransfer> InOtherForm(const ChatTransfer& transfer, const Request& request);
  // The completion without its id and key. The errors are HttpLlm's.
  Completion Read(const ChatTransfer& transfer, const Request& request);
  // A call that was made by Ask or InOtherForm is over, whatever came of it.
  void Forget() { --calls_; }
  bool HasAnswered() const { return has_answered_; }

  // It failed a request, and rests: longer each time, and for as long as it wants itself. One that was not
  // there is asked what it is before it takes calls again. Returns whether it was well before.
  bool Rest(const HttpTransfer& transfer, double retry_after_s);
  // Seconds; 0: it does not rest.
  double RestsFor() const {
    return std::max(std::chrono::duration<double>(rests_until_ - std::chrono::steady_clock::now()).count(),
                    0.0);
  }
  // Neither has it failed what it was asked last, nor was it left out.
  bool IsWell() const { return rests_ == 0 && !IsGone(); }
  // Whether only a call can tell if it is well again.
  bool WantsTrial() const { return rests_ > 0 && HasRoom(); }
  // It answered. Returns whether it had failed before.
  bool Recover() { return std::exchange(rests_, 0) > 0; }
  // It is not asked again.
  void Leave() { state_ = State::kGone; }
  bool IsGone() const { return state_ == State::kGone; }

 private:
  enum class State { kUnknown, kAsked, kKnown, kGone };

  int Limit() const;
  std::unique_ptr<ChatTransfer> Written(const Request& request);
  void Address(HttpTransfer& transfer, const std::string& url, double timeout) const;
  Completion ReadFailure(const HttpTransfer& transfer, const char* endpoint) const;

  const HttpOptions options_;
  State state_ = State::kUnknown;
  bool asks_version_ = false;
  std::string model_;  // named, or the first that it listed
  Dialect dialect_;
  int busy_about_models_ = 0;  // times that it was too busy to list its models

  InFlightLimit limit_;
  int calls_ = 0;  // that it has
  uint64_t last_sent_ = 0;
  uint64_t full_through_ = 0;
  bool has_answered_ = false;
  std::optional<std::chrono::steady_clock::time_point> first_sent_;

  int rests_ = 0;  // in a row
  std::chrono::steady_clock::time_point rested_{};
  std::chrono::steady_clock::time_point rests_until_{};
};

}  // namespace throng::llm
