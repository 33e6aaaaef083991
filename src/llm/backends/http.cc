#include "llm/backends/http.h"

#include <httplib.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>

#include "base/text/key_values.h"

namespace throng::llm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxReplyBytes = 16 << 20;
constexpr double kMaxPause = 60;  // seconds
constexpr auto kStopAgain = std::chrono::milliseconds(20);

double Since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::string ApiKeyFromEnvironment() {
  for (const char* name : {"THRONG_API_KEY", "OPENAI_API_KEY"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return "";
}

bool MeansBusy(int status) { return status == 429 || (status >= 500 && status != 501); }
bool MeansRefused(int status) { return status == 400 || status == 422 || status == 501; }

}  // namespace

HttpOptions HttpOptions::Parse(std::string_view url) {
  HttpOptions options;
  const size_t question = std::min(url.find('?'), url.size());
  const std::string_view address = url.substr(0, question);
  const size_t host = address.find("://") == address.npos ? address.size() : address.find("://") + 3;
  const size_t path = std::min(address.find('/', host), address.size());
  const std::string_view scheme = address.substr(0, host);
  if ((scheme != "http://" && scheme != "https://") || path == host || address.find('@') != address.npos) {
    throw MakeError(ErrorCode::kInvalid,
                    "llm: {:?} is not a server's address; one looks like http://host:8000/v1?model=name",
                    address);
  }
  options.origin = address.substr(0, path);
  std::string_view rest = address.substr(path);
  while (rest.ends_with('/')) rest.remove_suffix(1);
  if (!rest.empty()) options.path = rest;
  if (options.path.ends_with("/chat/completions")) options.path.resize(options.path.size() - 17);
  options.api_key = ApiKeyFromEnvironment();
  KeyValues values("http", url.substr(std::min(question + 1, url.size())), '&');
  options.model = values.Text("model", options.model);
  options.threads = values.Int("threads", options.threads, 1, 1024);
  options.connect_timeout = values.Number("connect_timeout", options.connect_timeout, 0.01, 3600.0);
  options.timeout = values.Number("timeout", options.timeout, 0.01, 86400.0);
  options.attempts = values.Int("attempts", options.attempts, 1, 100);
  options.backoff = values.Number("backoff", options.backoff, 0.0, kMaxPause);
  values.CheckAllUsed();
  return options;
}

HttpLlm::HttpLlm(const HttpOptions& options) : options_(options), model_(options.model) {
  for (int i = 0; i < options_.threads; ++i) {
    workers_.push_back(std::make_unique<Worker>());
    workers_.back()->client = MakeClient();
  }
  for (int i = 0; i < options_.threads; ++i)
    workers_[static_cast<size_t>(i)]->thread = std::thread([this, i] { WorkerLoop(i); });
}

HttpLlm::~HttpLlm() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    for (auto& [id, job] : jobs_) job->cancelled = true;
  }
  work_.notify_all();
  pause_.notify_all();
  {
    std::unique_lock lock(mutex_);
    while (std::any_of(jobs_.begin(), jobs_.end(),
                       [](const auto& entry) { return entry.second->worker >= 0; })) {
      StopCancelled();
      done_.wait_for(lock, kStopAgain);
    }
  }
  for (auto& worker : workers_) worker->thread.join();
}

std::unique_ptr<httplib::Client> HttpLlm::MakeClient() const {
  auto client = std::make_unique<httplib::Client>(options_.origin);
  if (!client->is_valid()) {
    throw MakeError(ErrorCode::kInvalid,
                    "llm: {:?} is not a server's address; one looks like http://host:8000/v1?model=name",
                    options_.origin);
  }
  const auto micros = [](double seconds) {
    return std::chrono::microseconds(static_cast<int64_t>(seconds * 1e6));
  };
  client->set_connection_timeout(micros(options_.connect_timeout));
  client->set_read_timeout(micros(options_.timeout));
  client->set_write_timeout(micros(options_.timeout));
  client->set_keep_alive(true);
  client->set_tcp_nodelay(true);
  if (!options_.api_key.empty()) client->set_bearer_token_auth(options_.api_key);
  return client;
}

void HttpLlm::Submit(Request request) {
  if (!request.constraint.Empty())
    CompileGrammar(request.constraint);  // refuses a constraint whose answers could not be checked
  auto job = std::make_shared<Job>();
  job->request = std::move(request);
  const std::lock_guard lock(mutex_);
  job->number = ++last_number_;
  jobs_[job->request.id] = job;
  queue_.emplace(std::pair(job->request.priority, job->number), job);
  work_.notify_one();
}

void HttpLlm::Wait(std::vector<Completion>& done, double seconds) {
  std::unique_lock lock(mutex_);
  const Clock::time_point begin = Clock::now();
  while (ready_.empty() && !jobs_.empty()) {
    StopCancelled();
    const double left = seconds - Since(begin);
    if (left <= 0) return;
    done_.wait_for(lock, std::chrono::duration<double>(std::min(left, 0.05)));
  }
  done.insert(done.end(), std::make_move_iterator(ready_.begin()), std::make_move_iterator(ready_.end()));
  ready_.clear();
}

void HttpLlm::Cancel(uint64_t id) {
  const std::lock_guard lock(mutex_);
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return;
  const std::shared_ptr<Job> job = found->second;
  job->cancelled = true;
  if (job->worker < 0) {
    ready_.push_back(Cancelled(id, job->request.key));
    queue_.erase({job->request.priority, job->number});
    jobs_.erase(found);
    done_.notify_all();
  } else {
    StopCancelled();
    pause_.notify_all();
  }
}

// Closes the connections of cancelled calls. Must be called repeatedly: a connection that is about to be
// opened escapes.
void HttpLlm::StopCancelled() {
  for (const auto& [id, job] : jobs_) {
    if (job->cancelled && job->worker >= 0) workers_[static_cast<size_t>(job->worker)]->client->stop();
  }
}

double HttpLlm::Now() const { return Since(start_); }

std::string HttpLlm::Identity() const {
  return fmt::format("http {}{} model={}", options_.origin, options_.path,
                     options_.model.empty() ? "(its first)" : options_.model);
}

Stats HttpLlm::GetStats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void HttpLlm::WorkerLoop(int index) {
  Worker& worker = *workers_[static_cast<size_t>(index)];
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [&] { return stop_ || !queue_.empty(); });
    if (stop_) return;
    const std::shared_ptr<Job> job = queue_.begin()->second;
    queue_.erase(queue_.begin());
    job->worker = index;
    lock.unlock();
    Completion completion = Serve(worker, *job);
    lock.lock();
    completion.id = job->request.id;
    completion.key = job->request.key;
    if (completion.finish == FinishReason::kStop || completion.finish == FinishReason::kLength) {
      stats_.Count(completion);
    }
    ready_.push_back(std::move(completion));
    jobs_.erase(job->request.id);
    done_.notify_all();
  }
}

Completion HttpLlm::Serve(Worker& worker, const Job& job) {
  Completion failed;
  try {
    std::optional<std::string> wrong_answer;
    for (int asked = 0; asked < 2; ++asked) {
      if (auto completion = Ask(worker, job, wrong_answer)) return *std::move(completion);
    }
    failed.error = MakeError(
        ErrorCode::kUnsupported,
        "llm: {}{} answered twice with what is not allowed, the second time {:?} instead of {}",
        options_.origin, options_.path, ErrorText(*wrong_answer), DescribeConstraint(job.request.constraint));
  } catch (const Error& error) {
    failed.error = error;
  } catch (const std::exception& error) {
    failed.error =
        MakeError(ErrorCode::kUnavailable, "llm: {}{}: {}", options_.origin, options_.path, error.what());
  }
  failed.finish = FinishReason::kError;
  if (job.cancelled) {
    failed.finish = FinishReason::kCancelled;
    if (failed.error->Code() == ErrorCode::kCancelled) failed.error.reset();
  }
  return failed;
}

// Asks one question and returns the answer; returns nothing, with wrong_answer set, if the answer is not
// allowed.
std::optional<Completion> HttpLlm::Ask(Worker& worker, const Job& job,
                                       std::optional<std::string>& wrong_answer) {
  const Request& request = job.request;
  const std::string model = ModelName(worker, job);
  const std::string path = options_.path + "/chat/completions";
  const std::string where = fmt::format("llm: {}{}", options_.origin, path);
  ConstraintMode mode = mode_;
  Reply reply;
  while (true) {
    reply = Send(worker, job, "POST", path, ChatBody(request, model, mode, wrong_answer));
    const bool may_be_the_mode =
        MeansRefused(reply.status) && !request.constraint.Empty() && mode != ConstraintMode::kPrompt;
    if (!may_be_the_mode) break;
    mode = static_cast<ConstraintMode>(static_cast<int>(mode) + 1);
  }
  if (reply.status != 200) {
    const bool ours = reply.status >= 400 && reply.status < 500;  // the same question would be refused again
    const ErrorCode code = ours ? ErrorCode::kInvalid : ErrorCode::kUnavailable;
    throw MakeError(code, "{} answered with status {}: {}", where, reply.status, ErrorText(reply.body));
  }
  Completion completion = ParseChatResponse(reply.body, where);
  if (mode > mode_) mode_ = mode;
  for (const std::string& stop : request.stop) {
    const size_t at = stop.empty() ? std::string::npos : completion.text.find(stop);
    if (at != std::string::npos) completion.text.resize(at);
  }
  auto fitting = worker.checker.Fit(request.constraint, completion.text);
  if (!fitting) {
    wrong_answer = std::move(completion.text);
    return std::nullopt;
  }
  completion.text = *std::move(fitting);
  return completion;
}

// Several workers may look it up at once: none waits for another's attempts.
std::string HttpLlm::ModelName(Worker& worker, const Job& job) {
  {
    const std::lock_guard lock(model_mutex_);
    if (!model_.empty()) return model_;
  }
  const Reply reply = Send(worker, job, "GET", options_.path + "/models", "");
  const auto json = nlohmann::json::parse(reply.body, nullptr, false);
  try {
    const auto model = json.at("data").at(0).at("id").get<std::string>();
    const std::lock_guard lock(model_mutex_);
    return model_ = model;
  } catch (const nlohmann::json::exception&) {
    throw MakeError(ErrorCode::kUnavailable,
                    "llm: {}{}/models does not name a model (status {}): name one with ?model=",
                    options_.origin, options_.path, reply.status);
  }
}

// Repeats the attempt while the server is unreachable or busy. Throws kUnavailable when attempts are used up.
HttpLlm::Reply HttpLlm::Send(Worker& worker, const Job& job, const char* method, const std::string& path,
                             const std::string& body) {
  thread_local std::minstd_rand jitter(std::random_device{}());
  double pause = options_.backoff;
  std::string what;  // error of the last attempt
  for (int attempt = 1;; ++attempt) {
    if (job.cancelled) throw Error(attempt == 1 ? ErrorCode::kCancelled : ErrorCode::kUnavailable, what);
    Reply reply = SendOnce(worker, job, method, path, body);
    if (reply.failure.empty() && !MeansBusy(reply.status)) return reply;
    what = fmt::format("llm: {}{} {} ({} attempts)", options_.origin, path,
                       reply.failure.empty()
                           ? fmt::format("answered with status {}: {}", reply.status, ErrorText(reply.body))
                           : reply.failure,
                       attempt);
    if (attempt == options_.attempts) throw Error(ErrorCode::kUnavailable, what);
    const double spread = std::uniform_real_distribution<double>(0.75, 1.25)(jitter);
    Pause(job, std::min(reply.retry_after >= 0 ? reply.retry_after : pause * spread, kMaxPause));
    pause = std::min(pause * 2, kMaxPause);
  }
}

HttpLlm::Reply HttpLlm::SendOnce(Worker& worker, const Job& job, const char* method, const std::string& path,
                                 const std::string& body) {
  const Clock::time_point begin = Clock::now();
  Reply reply;
  httplib::Request request;
  request.method = method;
  request.path = path;
  request.body = body;
  request.set_header("Content-Type", "application/json");
  request.set_header("Accept", "application/json");
  bool too_long = false;
  request.content_receiver = [&](const char* data, size_t size, uint64_t, uint64_t) {
    too_long = reply.body.size() + size > kMaxReplyBytes;
    if (too_long || job.cancelled || Since(begin) > options_.timeout) return false;
    reply.body.append(data, size);
    return true;
  };
  const httplib::Result result = worker.client->send(request);
  if (too_long)
    throw MakeError(ErrorCode::kUnavailable, "llm: {}{} answered with more than {} bytes", options_.origin,
                    path, kMaxReplyBytes);
  if (result) {
    reply.status = result->status;
    const std::string after = result->get_header_value("Retry-After");
    char* end = nullptr;
    const double seconds = std::strtod(after.c_str(), &end);
    if (end != after.c_str() && seconds >= 0) reply.retry_after = seconds;
    return reply;
  }
  if (job.cancelled) throw Error(ErrorCode::kCancelled, "");
  // A server that takes too long would take as long again: no further attempt.
  if (Since(begin) >= options_.timeout * 0.98) {
    throw MakeError(ErrorCode::kUnavailable, "llm: {}{} did not answer within {} s", options_.origin, path,
                    options_.timeout);
  }
  const bool unreachable =
      result.error() == httplib::Error::Connection || result.error() == httplib::Error::ConnectionTimeout;
  reply.failure = unreachable
                      ? "cannot be reached"
                      : fmt::format("broke the connection off ({})", httplib::to_string(result.error()));
  return reply;
}

void HttpLlm::Pause(const Job& job, double seconds) {
  std::unique_lock lock(mutex_);
  pause_.wait_for(lock, std::chrono::duration<double>(seconds), [&] { return stop_ || job.cancelled; });
}

}  // namespace throng::llm
