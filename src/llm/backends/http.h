// A backend that asks one or more servers over the network. They must speak OpenAI's chat completions.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "llm/backends/http_options.h"
#include "llm/backends/http_transfers.h"
#include "llm/backends/remote_server.h"
#include "llm/backends/server_stats.h"
#include "llm/llm.h"

namespace throng::llm {

// One thread sends all requests, smaller priorities first, and makes one attempt of each. It learns how a
// server wants to be asked (dialect.h): what it refuses by name is changed for all calls. Answers are not
// checked against constraints: src/llm/decorators/retry.h does that. Errors:
//   kUnavailable  unreachable, busy, failing, too slow; retry_after_s is what the server says, else 0
//   kBadAnswer    status 200 without an answer, or a filter that refuses this prompt
//   kExhausted    the prompt is beyond the model's context
//   kUnsupported  the server refuses this request
//   kInvalid      it would refuse any: wrong key, no quota, no such model
//
// Several servers are one, larger one: whichever has room takes the next call. Among calls of the same
// priority, a server takes those of agents that it has answered before, whose prompts it may have in its
// cache, then those of new agents, then any that a full server would have to leave waiting. A call that is
// kUnavailable on one is asked on others before it fails; the server rests meanwhile, if another does not,
// and its agents come back to it once it has answered a call again. A prompt beyond the context of one is
// asked on those that may have a longer one, and kExhausted only if none has. A server that refuses all calls
// after it has answered some is left out. All this is logged.
class HttpLlm : public Llm {
 public:
  explicit HttpLlm(const HttpOptions& server) : HttpLlm(std::vector{server}) {}
  explicit HttpLlm(const std::vector<HttpOptions>& servers);  // at least one
  ~HttpLlm() override;

  void Submit(Request request) override;
  void Wait(std::vector<Completion>& done, double seconds = kForever) override;
  void Cancel(uint64_t id) override;
  void Raise(uint64_t id, int priority) override;  // of calls that wait here
  std::optional<Standing> StandingOf(uint64_t id) const override;
  double Now() const override;
  std::string Identity() const override;
  Stats GetStats() const override;
  std::vector<ServerStats> Servers() const;  // in the order in which they were given

 private:
  struct Job {
    Request request;
    uint64_t number = 0;              // in order of arrival
    std::optional<size_t> queue;      // in which it waits
    size_t server = 0;                // else the one that was asked
    int failures = 0;                 // attempts at servers that were unavailable
    std::set<size_t> too_long_for{};  // servers
    bool cancelled = false;
  };
  struct InFlight {
    std::unique_ptr<HttpTransfer> transfer;  // a ChatTransfer if there is a job
    size_t server = 0;                       // index
    std::shared_ptr<Job> job;                // null: a question about the server
  };
  // Where an agent's calls go.
  struct Place {
    size_t home;  // the server that it comes back to when that is well again
    size_t last;  // that it was last sent to
  };
  using Queue = std::map<std::pair<int, uint64_t>, std::shared_ptr<Job>>;  // by priority and number

  static std::pair<int, uint64_t> PlaceOf(const Job& job) { return {job.request.priority, job.number}; }

  void Loop();
  void StopCancelled();
  void StartJobs();
  void AskServers();
  bool TakeNext(std::shared_ptr<Job>& job, size_t& server);
  void Send(std::unique_ptr<HttpTransfer> transfer, size_t server, std::shared_ptr<Job> job);
  void OnQuestion(const InFlight& over);
  void OnChat(InFlight over);
  bool TryElsewhere(const InFlight& over, const Completion& failed);
  bool TryLongerContext(const InFlight& over, const Completion& failed);
  bool MayHold(size_t server, const Job& job) const;
  void MoveTo(size_t server, Job& job);
  void FailWaiting(const Completion& failed);
  void CompareModel(const RemoteServer& server) const;
  void CountOf(size_t server, const Completion& completion, double seconds);
  void Complete(const Job& job, Completion completion);

  const std::string identity_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();

  // Used by the loop's thread alone.
  std::unique_ptr<HttpTransfers> transfers_;
  std::vector<std::unique_ptr<RemoteServer>> servers_;
  std::unordered_map<const HttpTransfer*, InFlight> in_flight_;
  std::set<size_t> too_short_;  // servers that prompts were too long for, of which the log tells

  mutable std::mutex mutex_;  // guards all below
  std::condition_variable done_;
  bool stop_ = false;
  bool any_cancelled_ = false;
  uint64_t last_number_ = 0;
  std::vector<Queue> queues_;                     // by server that has the agent's place; the last: none
  std::unordered_map<uint32_t, Place> place_of_;  // by agent
  std::vector<bool> is_well_;                     // by server
  std::unordered_map<uint64_t, std::shared_ptr<Job>> jobs_;  // by id
  std::vector<Completion> ready_;
  Stats stats_;
  std::vector<ServerStats> server_stats_;

  std::thread thread_;  // last: uses all above
};

}  // namespace throng::llm
