#include "llm/backends/http.h"

#include <algorithm>
#include <iterator>
#include <tuple>

#include "base/check.h"
#include "base/log.h"
#include "llm/backends/chat_protocol.h"

namespace throng::llm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kPollMs =
    1000;  // at most until servers that rest, or take no second call yet, are looked at again

std::string IdentityOf(const std::vector<HttpOptions>& servers) {
  std::string identity = "http";
  for (const HttpOptions& server : servers) {
    identity += fmt::format("{} {} model={}", identity == "http" ? "" : ",", server.Address(),
                            server.model.empty() ? "(its first)" : server.model);
  }
  return identity;
}

int SumOfInFlight(const std::vector<HttpOptions>& servers) {
  int sum = 0;
  for (const HttpOptions& server : servers) sum += server.in_flight;
  return sum;
}

// Whether a server can do nothing now, whatever it is asked. One that is said to have answered, but with what
// is no completion, is none: it breaks off, or something else is in its place.
bool IsServersFault(const HttpTransfer& transfer, const Completion& completion) {
  if (!completion.error) return false;
  const bool is_good = transfer.HasReply() && transfer.status == 200;
  return completion.error->Code() == ErrorCode::kUnavailable || (is_good && !IsChatResponse(transfer.reply));
}

}  // namespace

HttpLlm::HttpLlm(const std::vector<HttpOptions>& servers)
    : identity_(IdentityOf(servers)),
      transfers_(std::make_unique<HttpTransfers>(SumOfInFlight(servers))),
      queues_(servers.size() + 1),
      is_well_(servers.size(), true) {
  THRONG_CHECK(!servers.empty());
  for (const HttpOptions& options : servers) {
    // An address that cannot be one is refused before anything is asked.
    if (!HttpTransfers::IsOrigin(options.origin)) {
      throw MakeError(ErrorCode::kInvalid,
                      "llm: {:?} is not a server's address; one looks like http://host:8000/v1?model=name",
                      options.origin);
    }
    servers_.push_back(std::make_unique<RemoteServer>(options));
    server_stats_.push_back({.address = options.Address()});
  }
  thread_ = std::thread([this] { Loop(); });
}

HttpLlm::~HttpLlm() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  transfers_->Wake();
  thread_.join();
}

void HttpLlm::Submit(Request request) {
  auto job = std::make_shared<Job>();
  job->request = std::move(request);
  {
    const std::lock_guard lock(mutex_);
    const auto known = place_of_.find(job->request.key.agent);
    job->number = ++last_number_;
    job->queue = servers_.size();
    if (known != place_of_.end())
      job->queue = is_well_[known->second.home] ? known->second.home : known->second.last;
    jobs_[job->request.id] = job;
    queues_[*job->queue].emplace(PlaceOf(*job), job);
  }
  transfers_->Wake();
}

void HttpLlm::Wait(std::vector<Completion>& done, double seconds) {
  std::unique_lock lock(mutex_);
  const auto ready = [&] { return !ready_.empty() || jobs_.empty(); };
  // Durations of more than a year would overflow the clock.
  if (seconds > 3e7) {
    done_.wait(lock, ready);
  } else {
    done_.wait_for(lock, std::chrono::duration<double>(seconds), ready);
  }
  done.insert(done.end(), std::make_move_iterator(ready_.begin()), std::make_move_iterator(ready_.end()));
  ready_.clear();
}

void HttpLlm::Cancel(uint64_t id) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = jobs_.find(id);
    if (found == jobs_.end()) return;
    Job& job = *found->second;
    job.cancelled = any_cancelled_ = true;
    ready_.push_back(Cancelled(id, job.request.key));
    if (job.queue) queues_[*job.queue].erase(PlaceOf(job));
    jobs_.erase(found);
  }
  done_.notify_all();
  transfers_->Wake();
}

void HttpLlm::Raise(uint64_t id, int priority) {
  const std::lock_guard lock(mutex_);
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return;
  Job& job = *found->second;
  auto waiting = job.queue ? queues_[*job.queue].extract(PlaceOf(job)) : Queue::node_type();
  job.request.priority = priority;  // also for when another server must be asked
  if (waiting.empty()) return;
  waiting.key() = PlaceOf(job);
  queues_[*job.queue].insert(std::move(waiting));
}

std::optional<Standing> HttpLlm::StandingOf(uint64_t id) const {
  const std::lock_guard lock(mutex_);
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return std::nullopt;
  const Job& job = *found->second;
  if (job.queue) return Standing{.is_queued = true};
  return Standing{.server = server_stats_[job.server].address};
}

double HttpLlm::Now() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

std::string HttpLlm::Identity() const { return identity_; }

Stats HttpLlm::GetStats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

std::vector<ServerStats> HttpLlm::Servers() const {
  const std::lock_guard lock(mutex_);
  return server_stats_;
}

void HttpLlm::Loop() {
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      if (stop_) break;
    }
    StopCancelled();
    StartJobs();
    for (const HttpTransfer* transfer : transfers_->Run()) {
      InFlight over = std::move(in_flight_.extract(transfer).mapped());
      if (over.job == nullptr) {
        OnQuestion(over);
      } else {
        OnChat(std::move(over));
      }
    }
    StartJobs();
    transfers_->Poll(kPollMs);
  }
  for (auto& [transfer, flying] : in_flight_) transfers_->End(*flying.transfer);
}

void HttpLlm::StopCancelled() {
  const std::lock_guard lock(mutex_);
  if (!std::exchange(any_cancelled_, false)) return;
  std::erase_if(in_flight_, [&](const auto& entry) {
    const InFlight& flying = entry.second;
    if (flying.job == nullptr || !flying.job->cancelled) return false;
    transfers_->End(*flying.transfer);
    servers_[flying.server]->Forget();
    return true;
  });
}

// Sends what waits, as many at once as the servers cope with; first of all the question what they are.
void HttpLlm::StartJobs() {
  AskServers();
  std::shared_ptr<Job> job;
  size_t server = 0;
  while (TakeNext(job, server)) {
    auto transfer = servers_[server]->Ask(job->request);
    Send(std::move(transfer), server, std::move(job));
  }
}

void HttpLlm::AskServers() {
  {
    const std::lock_guard lock(mutex_);
    if (std::all_of(queues_.begin(), queues_.end(), [](const Queue& queue) { return queue.empty(); })) return;
  }
  const bool any = std::any_of(servers_.begin(), servers_.end(),
                               [](const auto& server) { return server->IsKnown() || server->IsAsked(); });
  for (size_t i = 0; i < servers_.size(); ++i) {
    if (any && servers_[i]->RestsFor() > 0) continue;
    if (auto question = servers_[i]->NextQuestion()) Send(std::move(question), i, nullptr);
  }
}

// The next call, and the server that takes it.
bool HttpLlm::TakeNext(std::shared_ptr<Job>& job, size_t& server) {
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < servers_.size(); ++i) is_well_[i] = servers_[i]->IsWell();
  Queue* first = nullptr;
  for (Queue& queue : queues_) {
    if (!queue.empty() && (first == nullptr || queue.begin()->first < first->begin()->first)) first = &queue;
  }
  if (first == nullptr) return false;
  const int priority = first->begin()->first.first;
  const auto is_due = [&](const Queue& queue) {
    return !queue.empty() && queue.begin()->first.first == priority;
  };
  const bool all_rest = std::all_of(servers_.begin(), servers_.end(),
                                    [](const auto& one) { return !one->IsKnown() || one->RestsFor() > 0; });
  std::optional<size_t> best;
  // The one that rests least, if all do; one that may be well again; one with calls of its own agents; the
  // one with the least load.
  std::tuple<double, bool, bool, double> best_rank;
  for (size_t i = 0; i < servers_.size(); ++i) {
    RemoteServer& one = *servers_[i];
    if (!one.HasRoom()) one.WouldTakeMore();
    if (!one.HasRoom() || (one.RestsFor() > 0 && !all_rest)) continue;
    const std::tuple rank(one.RestsFor(), !one.WantsTrial(), !is_due(queues_[i]), one.Load());
    if (best && best_rank <= rank) continue;
    best = i;
    best_rank = rank;
  }
  if (!best) return false;
  Queue& own = queues_[*best];
  Queue& newcomers = queues_.back();
  Queue& from = is_due(own) ? own : is_due(newcomers) ? newcomers : *first;
  job = std::move(from.extract(from.begin()).mapped());
  job->queue.reset();
  server = *best;
  MoveTo(server, *job);
  return true;
}

// An agent has another home if its own is full, but keeps one that has failed. With the lock.
void HttpLlm::MoveTo(size_t server, Job& job) {
  job.server = server;
  Place& place = place_of_.try_emplace(job.request.key.agent, Place{server, server}).first->second;
  place.last = server;
  if (is_well_[place.home] || servers_[place.home]->IsGone()) place.home = server;
}

void HttpLlm::Send(std::unique_ptr<HttpTransfer> transfer, size_t server, std::shared_ptr<Job> job) {
  HttpTransfer& started = *transfer;
  in_flight_[&started] = {std::move(transfer), server, std::move(job)};
  transfers_->Start(started);
}

// While no server takes calls, those that wait fail.
void HttpLlm::OnQuestion(const InFlight& over) {
  RemoteServer& server = *servers_[over.server];
  const std::optional<Completion> failed = server.OnQuestion(*over.transfer);
  if (!failed) {
    CompareModel(server);
    return;
  }
  const bool is_news = server.Rest(*over.transfer, failed->retry_after_s);
  const bool others = std::any_of(servers_.begin(), servers_.end(),
                                  [](const auto& one) { return one->IsKnown() || one->IsAsked(); });
  if (others && failed->error->Code() == ErrorCode::kUnavailable) {
    if (is_news) spdlog::warn("{}; other servers are asked meanwhile", failed->error->what());
    return;
  }
  FailWaiting(*failed);
}

void HttpLlm::FailWaiting(const Completion& failed) {
  std::vector<std::shared_ptr<Job>> waiting;
  {
    const std::lock_guard lock(mutex_);
    for (Queue& queue : queues_) {
      for (auto& [key, job] : queue) waiting.push_back(std::move(job));
      queue.clear();
    }
    for (const auto& job : waiting) job->queue.reset();
  }
  for (const auto& job : waiting) Complete(*job, failed);
}

// Servers that are one for the user should have one model.
void HttpLlm::CompareModel(const RemoteServer& server) const {
  const auto other = std::find_if(servers_.begin(), servers_.end(), [&](const auto& one) {
    return one->IsKnown() && one->Model() != server.Model();
  });
  if (other == servers_.end() || !server.IsKnown()) return;
  spdlog::warn("{} is asked for the model {}, but {} for {}", server.Where(), server.Model(),
               (*other)->Where(), (*other)->Model());
}

void HttpLlm::OnChat(InFlight over) {
  RemoteServer& server = *servers_[over.server];
  const auto& transfer = static_cast<const ChatTransfer&>(*over.transfer);
  server.Forget();
  if (auto other = server.InOtherForm(transfer, over.job->request))
    return Send(std::move(other), over.server, std::move(over.job));
  Completion completion = server.Read(transfer, over.job->request);
  CountOf(over.server, completion, transfer.Seconds());
  if (!IsServersFault(transfer, completion) && server.Recover())
    spdlog::info("{} answers now", server.Where());
  if (completion.error && (TryElsewhere(over, completion) || TryLongerContext(over, completion))) return;
  Complete(*over.job, std::move(completion));
}

// Whether another server may answer a call that this one has failed; then it waits for one.
bool HttpLlm::TryElsewhere(const InFlight& over, const Completion& failed) {
  RemoteServer& server = *servers_[over.server];
  const auto others = std::count_if(servers_.begin(), servers_.end(),
                                    [&](const auto& one) { return !one->IsGone() && one.get() != &server; });
  if (others == 0) return false;
  if (IsServersFault(*over.transfer, failed)) {
    if (server.Rest(*over.transfer, failed.retry_after_s))
      spdlog::warn("{}; other servers are asked meanwhile", failed.error->what());
    if (++over.job->failures > others) return false;
  } else if (failed.error->Code() == ErrorCode::kInvalid && server.HasAnswered()) {
    if (!server.IsGone()) spdlog::warn("{}; it is left out from now on", failed.error->what());
    server.Leave();
  } else {
    return false;
  }
  Job& job = *over.job;
  const std::lock_guard lock(mutex_);
  if (job.cancelled) return true;
  job.queue = servers_.size();
  queues_[*job.queue].emplace(PlaceOf(job), over.job);
  return true;
}

// Whether one of those that have refused it as too long does not say already that this one will.
bool HttpLlm::MayHold(size_t server, const Job& job) const {
  const int64_t context = servers_[server]->Context();
  return std::none_of(job.too_long_for.begin(), job.too_long_for.end(), [&](size_t refused) {
    return refused == server || (context > 0 && context <= servers_[refused]->Context());
  });
}

// Whether there is a server that may have room for a prompt that is too long for this one; then it is asked
// at once, however many calls it has.
bool HttpLlm::TryLongerContext(const InFlight& over, const Completion& failed) {
  if (failed.error->Code() != ErrorCode::kExhausted) return false;
  Job& job = *over.job;
  job.too_long_for.insert(over.server);
  std::optional<size_t> best;
  for (size_t i = 0; i < servers_.size(); ++i) {
    if (!servers_[i]->IsKnown() || !MayHold(i, job)) continue;
    if (!best || servers_[i]->Context() > servers_[*best]->Context()) best = i;
  }
  if (!best) return false;
  if (too_short_.insert(over.server).second)
    spdlog::warn("{}; servers that may have a longer context are asked", failed.error->what());
  {
    const std::lock_guard lock(mutex_);
    if (job.cancelled) return true;
    MoveTo(*best, job);
  }
  Send(servers_[*best]->Ask(job.request), *best, over.job);
  return true;
}

void HttpLlm::CountOf(size_t server, const Completion& completion, double seconds) {
  const std::lock_guard lock(mutex_);
  ServerStats& stats = server_stats_[server];
  if (completion.error) {
    ++stats.failures;
    return;
  }
  ++stats.calls;
  stats.prompt_tokens += static_cast<uint64_t>(completion.prompt_tokens);
  stats.cached_prompt_tokens += static_cast<uint64_t>(completion.cached_prompt_tokens);
  stats.output_tokens += static_cast<uint64_t>(completion.output_tokens);
  stats.seconds += seconds;
}

void HttpLlm::Complete(const Job& job, Completion completion) {
  completion.id = job.request.id;
  completion.key = job.request.key;
  {
    const std::lock_guard lock(mutex_);
    if (job.cancelled) return;
    if (completion.finish != FinishReason::kError || completion.error->Code() == ErrorCode::kBadAnswer)
      stats_.Count(completion);
    ready_.push_back(std::move(completion));
    jobs_.erase(job.request.id);
  }
  done_.notify_all();
}

}  // namespace throng::llm
