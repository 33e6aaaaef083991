#include "llm/backends/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/log.h"
#include "base/text/key_values.h"
#include "llm/answer/answer_checker.h"
#include "llm/backends/chat_protocol.h"

namespace throng::llm {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

constexpr size_t kMaxReplyBytes = 16 << 20;
constexpr double kMaxModelsSeconds = 30;  // for the question which models there are
// The first request goes alone, so that only one is refused if the server wants another form; but it may take
// long to answer, and a refusal comes at once.
constexpr double kAloneSeconds = 1;
constexpr int kBusyAboutModels =
    3;  // questions for the models answered so do not mean that it is still loading
constexpr int kPollMs = 1000;
constexpr int kMaxForms = 16;  // changes of one request that a server may ask for

double Since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::string ApiKeyFromEnvironment() {
  for (const char* name : {"THRONG_API_KEY", "OPENAI_API_KEY"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return "";
}

// A proxy for the world outside is none for this machine.
std::string NoProxy() {
  std::string hosts = "localhost,127.0.0.1,::1";
  for (const char* name : {"no_proxy", "NO_PROXY"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') hosts += std::string(",") + value;
  }
  return hosts;
}

bool IsGood(int status) { return status >= 200 && status < 300; }
bool MeansBusy(int status) {
  return status == 408 || status == 409 || status == 425 || status == 429 || (status >= 500 && status != 501);
}
bool MeansOverload(int status) { return status == 429 || status == 503 || status == 529; }
bool MeansRefused(int status) { return status == 400 || status == 422 || status == 501; }
bool MeansForAll(int status) { return status == 401 || status == 403 || status == 404 || status == 405; }

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
  options.in_flight = values.Int("in_flight", options.in_flight, 1, kMostInFlight);
  options.connect_timeout = values.Number("connect_timeout", options.connect_timeout, 0.01, 3600.0);
  options.timeout = values.Number("timeout", options.timeout, 0.01, 86400.0);
  values.CheckAllUsed();
  return options;
}

// One request of any kind and its reply.
struct HttpLlm::Transfer {
  enum class Kind { kChat, kModels, kVersion };

  Kind kind = Kind::kChat;
  uint64_t number = 0;
  std::string url;
  std::shared_ptr<Job> job;  // of a chat
  Json sent;                 // of a chat
  int forms = 0;             // how often the server has refused it by name
  std::string body;          // `sent` as text
  uint64_t limit_number = 0;
  bool was_full = false;
  double timeout = 0;  // seconds
  Clock::time_point begin;

  CURL* easy = nullptr;
  CURLcode result = CURLE_OK;
  int status = 0;
  double retry_after = 0;
  bool connected = false;
  std::string reply;
  bool too_long = false;
  std::string server;  // the header
  char error[CURL_ERROR_SIZE] = "";
};

// libcurl's handles. One thread, but for Wake.
class HttpLlm::Curl {
 public:
  explicit Curl(const HttpOptions& options) : options_(options), no_proxy_(NoProxy()) {
    static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
    THRONG_CHECK(global == CURLE_OK);
    multi_ = curl_multi_init();
    THRONG_CHECK(multi_ != nullptr);
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(options.in_flight));
    const auto add = [&](const std::string& line) { headers_ = curl_slist_append(headers_, line.c_str()); };
    add("Content-Type: application/json");
    add("Accept: application/json");
    add("Expect:");  // no question before large bodies
    if (!options.api_key.empty()) add("Authorization: Bearer " + options.api_key);
    // An address that cannot be one is refused before anything is asked.
    CURLU* const url = curl_url();
    const CURLUcode code = curl_url_set(url, CURLUPART_URL, options.origin.c_str(), 0);
    curl_url_cleanup(url);
    if (code == CURLUE_OK) return;
    Free();
    throw MakeError(ErrorCode::kInvalid,
                    "llm: {:?} is not a server's address; one looks like http://host:8000/v1?model=name",
                    options.origin);
  }
  ~Curl() { Free(); }
  Curl(const Curl&) = delete;
  Curl& operator=(const Curl&) = delete;

  void Start(Transfer& transfer, double timeout) {
    CURL* easy = idle_.empty() ? curl_easy_init() : idle_.back();
    THRONG_CHECK(easy != nullptr);
    if (!idle_.empty()) idle_.pop_back();
    transfer.easy = easy;
    transfer.timeout = timeout;
    transfer.begin = Clock::now();
    const auto millis = [](double seconds) { return std::max(1L, static_cast<long>(seconds * 1e3)); };
    curl_easy_setopt(easy, CURLOPT_URL, transfer.url.c_str());
    curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers_);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, no_proxy_.c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, millis(std::min(options_.connect_timeout, timeout)));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, millis(timeout));
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Curl::OnBody);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Curl::OnHeader);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
    if (transfer.kind == Transfer::Kind::kChat) {
      curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer.body.data());
      curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(transfer.body.size()));
    }
    THRONG_CHECK(curl_multi_add_handle(multi_, easy) == CURLM_OK);
  }

  // Closes the connection if the transfer is not over.
  void End(Transfer& transfer) {
    if (transfer.easy == nullptr) return;
    curl_multi_remove_handle(multi_, transfer.easy);
    curl_easy_reset(transfer.easy);
    idle_.push_back(std::exchange(transfer.easy, nullptr));
  }

  // Moves all transfers on; returns those that are over.
  std::vector<Transfer*> Run() {
    int running = 0;
    curl_multi_perform(multi_, &running);
    std::vector<Transfer*> over;
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      Transfer* transfer = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
      transfer->result = message->data.result;
      long status = 0;
      curl_off_t retry_after = 0;
      curl_off_t connected = 0;
      curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
      curl_easy_getinfo(transfer->easy, CURLINFO_RETRY_AFTER,
                        &retry_after);  // seconds, or the date as seconds
      curl_easy_getinfo(transfer->easy, CURLINFO_PRETRANSFER_TIME_T, &connected);
      transfer->status = static_cast<int>(status);
      transfer->retry_after = static_cast<double>(std::max<curl_off_t>(retry_after, 0));
      transfer->connected = connected > 0;
      over.push_back(transfer);
    }
    for (Transfer* transfer : over) End(*transfer);
    return over;
  }

  void Poll(int ms) { curl_multi_poll(multi_, nullptr, 0, ms, nullptr); }
  void Wake() { curl_multi_wakeup(multi_); }

 private:
  static size_t OnBody(char* data, size_t size, size_t count, void* to) {
    Transfer& transfer = *static_cast<Transfer*>(to);
    transfer.too_long = transfer.reply.size() + size * count > kMaxReplyBytes;
    if (transfer.too_long) return 0;
    transfer.reply.append(data, size * count);
    return size * count;
  }

  static size_t OnHeader(char* data, size_t size, size_t count, void* to) {
    constexpr std::string_view kServer = "server:";
    const std::string_view line(data, size * count);
    const bool is_server = line.size() > kServer.size() &&
                           std::equal(kServer.begin(), kServer.end(), line.begin(), [](char a, char b) {
                             return a == std::tolower(static_cast<unsigned char>(b));
                           });
    if (is_server) static_cast<Transfer*>(to)->server = OneLine(line.substr(kServer.size()));
    return size * count;
  }

  void Free() {
    for (CURL* easy : idle_) curl_easy_cleanup(easy);
    curl_multi_cleanup(multi_);
    curl_slist_free_all(headers_);
  }

  const HttpOptions& options_;
  const std::string no_proxy_;
  CURLM* multi_ = nullptr;
  curl_slist* headers_ = nullptr;
  std::vector<CURL*> idle_;
};

HttpLlm::HttpLlm(const HttpOptions& options)
    : options_(options),
      curl_(std::make_unique<Curl>(options_)),
      model_(options.model),
      limit_(options.in_flight),
      thread_([this] { Loop(); }) {}

HttpLlm::~HttpLlm() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  curl_->Wake();
  thread_.join();
}

void HttpLlm::Submit(Request request) {
  auto job = std::make_shared<Job>();
  job->request = std::move(request);
  {
    const std::lock_guard lock(mutex_);
    job->number = ++last_number_;
    jobs_[job->request.id] = job;
    queue_.emplace(std::pair(job->request.priority, job->number), job);
  }
  curl_->Wake();
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
    if (!job.sent) queue_.erase({job.request.priority, job.number});
    jobs_.erase(found);
  }
  done_.notify_all();
  curl_->Wake();
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

std::string HttpLlm::Where(const std::string& endpoint) const {
  return fmt::format("llm: {}{}{}", options_.origin, options_.path, endpoint);
}

void HttpLlm::Loop() {
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      if (stop_) break;
    }
    StopCancelled();
    StartJobs();
    for (Transfer* transfer : curl_->Run()) OnDone(*transfer);
    StartJobs();
    const bool alone = first_sent_ && !heard_ && Since(*first_sent_) < kAloneSeconds;
    curl_->Poll(alone ? static_cast<int>(kAloneSeconds * 1e3) : kPollMs);
  }
  for (auto& [number, transfer] : transfers_) curl_->End(*transfer);
}

void HttpLlm::StopCancelled() {
  {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(any_cancelled_, false)) return;
  }
  for (auto it = transfers_.begin(); it != transfers_.end();) {
    Transfer& transfer = *it->second;
    const bool cancelled = transfer.job != nullptr && [&] {
      const std::lock_guard lock(mutex_);
      return transfer.job->cancelled;
    }();
    if (!cancelled) {
      ++it;
      continue;
    }
    curl_->End(transfer);
    --chats_;
    it = transfers_.erase(it);
  }
}

// Sends what waits, as many at once as the server copes with; first of all the question what the server is.
void HttpLlm::StartJobs() {
  while (true) {
    std::shared_ptr<Job> job;
    {
      const std::lock_guard lock(mutex_);
      if (queue_.empty()) return;
      if (knows_server_) {
        const bool alone = !heard_ && first_sent_ && Since(*first_sent_) < kAloneSeconds;
        if (chats_ >= static_cast<size_t>(alone ? 1 : limit_.Limit())) {
          for (auto& [number, transfer] : transfers_) transfer->was_full = true;
          return;
        }
        job = queue_.begin()->second;
        queue_.erase(queue_.begin());
        job->sent = true;
      }
    }
    if (job != nullptr) {
      SendChat(std::move(job));
      continue;
    }
    if (asks_server_) return;
    asks_server_ = true;
    auto transfer = std::make_unique<Transfer>();
    transfer->kind = Transfer::Kind::kModels;
    transfer->number = ++last_transfer_;
    transfer->url = options_.origin + options_.path + "/models";
    curl_->Start(*transfer, std::min(options_.timeout, kMaxModelsSeconds));
    transfers_.emplace(transfer->number, std::move(transfer));
    return;
  }
}

void HttpLlm::SendChat(std::shared_ptr<Job> job) {
  auto transfer = std::make_unique<Transfer>();
  transfer->number = ++last_transfer_;
  transfer->url = options_.origin + options_.path + "/chat/completions";
  transfer->sent = ChatBody(job->request, model_, dialect_);
  transfer->body = transfer->sent.dump(-1, ' ', false, Json::error_handler_t::replace);
  transfer->job = std::move(job);
  transfer->limit_number = limit_.OnSend();
  if (!first_sent_) first_sent_ = Clock::now();
  ++chats_;
  curl_->Start(*transfer, options_.timeout);
  transfers_.emplace(transfer->number, std::move(transfer));
}

void HttpLlm::Complete(std::shared_ptr<Job> job, Completion completion) {
  completion.id = job->request.id;
  completion.key = job->request.key;
  {
    const std::lock_guard lock(mutex_);
    if (job->cancelled) return;
    if (completion.finish != FinishReason::kError || completion.error->Code() == ErrorCode::kBadAnswer)
      stats_.Count(completion);
    ready_.push_back(std::move(completion));
    jobs_.erase(job->request.id);
  }
  done_.notify_all();
}

void HttpLlm::OnDone(Transfer& transfer) {
  const auto node = transfers_.extract(transfer.number);
  switch (transfer.kind) {
    case Transfer::Kind::kChat:
      --chats_;
      return OnChat(transfer);
    case Transfer::Kind::kModels:
      return OnModels(transfer);
    case Transfer::Kind::kVersion:
      if (transfer.result == CURLE_OK && transfer.status == 200) dialect_.ReadVersion(transfer.reply);
      knows_server_ = true;
      return;
  }
}

// A server that cannot say what it is is asked nevertheless if a model is named. Else the calls that wait
// fail, and so they do while it is not there yet.
void HttpLlm::OnModels(const Transfer& transfer) {
  asks_server_ = false;
  const bool answered = transfer.result == CURLE_OK;
  std::string first;
  if (answered && transfer.status == 200) first = dialect_.ReadModels(transfer.reply, transfer.server);
  if (model_.empty()) model_ = first;
  const bool busy = answered && MeansBusy(transfer.status) && ++busy_about_models_ < kBusyAboutModels;
  if (!model_.empty() && (answered || transfer.connected) && !busy) {
    if (!dialect_.IsVllm()) {
      knows_server_ = true;
      return;
    }
    asks_server_ = true;
    auto version = std::make_unique<Transfer>();
    version->kind = Transfer::Kind::kVersion;
    version->number = ++last_transfer_;
    version->url = options_.origin + "/version";
    curl_->Start(*version, std::min(options_.timeout, kMaxModelsSeconds));
    transfers_.emplace(version->number, std::move(version));
    return;
  }
  Completion failed = ReadFailure(transfer);
  if (answered && transfer.status == 200) {
    failed.error = MakeError(ErrorCode::kUnavailable,
                             "{} does not name a model: name one with ?model=", Where("/models"));
  }
  std::map<std::pair<int, uint64_t>, std::shared_ptr<Job>> waiting;
  {
    const std::lock_guard lock(mutex_);
    waiting.swap(queue_);
    for (auto& [key, job] : waiting) job->sent = true;
  }
  for (auto& [key, job] : waiting) Complete(std::move(job), failed);
}

// What went wrong, with a transfer or with a status that is not 200.
Completion HttpLlm::ReadFailure(const Transfer& transfer) const {
  Completion failed;
  failed.finish = FinishReason::kError;
  failed.retry_after_s = 0;
  const char* const endpoint = transfer.kind == Transfer::Kind::kModels ? "/models" : "/chat/completions";
  const auto fail = [&](ErrorCode code, const std::string& what) {
    failed.error = MakeError(code, "{} {}", Where(endpoint), what);
    return failed;
  };
  switch (transfer.result) {
    case CURLE_OK:
      break;
    case CURLE_OPERATION_TIMEDOUT:
      if (!transfer.connected) {
        return fail(ErrorCode::kUnavailable,
                    fmt::format("cannot be reached within {} s", options_.connect_timeout));
      }
      failed.retry_after_s = -1;  // it has had time enough, and said nothing
      return fail(ErrorCode::kUnavailable, fmt::format("did not answer within {} s", transfer.timeout));
    case CURLE_COULDNT_CONNECT:
      return fail(ErrorCode::kUnavailable, "cannot be reached");
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return fail(ErrorCode::kUnavailable, "cannot be reached: no such host is known");
    case CURLE_PEER_FAILED_VERIFICATION:
      return fail(ErrorCode::kInvalid, fmt::format("cannot be trusted: {}", OneLine(transfer.error)));
    case CURLE_WRITE_ERROR:
      if (transfer.too_long) {
        return fail(ErrorCode::kBadAnswer, fmt::format("answered with more than {} bytes", kMaxReplyBytes));
      }
      [[fallthrough]];
    default:
      return fail(ErrorCode::kUnavailable,
                  fmt::format("broke the connection off ({})",
                              OneLine(*transfer.error != '\0' ? transfer.error
                                                              : curl_easy_strerror(transfer.result))));
  }
  const ServerError said = ServerError::Parse(transfer.status, transfer.reply);
  failed.retry_after_s = transfer.retry_after;
  const std::string words = fmt::format("(status {}): {}", transfer.status, said.text);
  if (said.MeansNoQuota()) return fail(ErrorCode::kInvalid, "has no quota left for this key " + words);
  if (transfer.status == 401 || transfer.status == 403) {
    const char* const key = options_.api_key.empty()
                                ? "wants a key, which is taken from $THRONG_API_KEY "
                                : "refuses the key in $THRONG_API_KEY or $OPENAI_API_KEY ";
    return fail(ErrorCode::kInvalid, key + words);
  }
  const std::string status = fmt::format("answered with status {}: {}", transfer.status, said.text);
  if (MeansBusy(transfer.status)) return fail(ErrorCode::kUnavailable, status);
  if (MeansForAll(transfer.status) || transfer.status < 400) return fail(ErrorCode::kInvalid, status);
  if (said.MeansTooLong()) return fail(ErrorCode::kExhausted, status);
  if (said.MeansNotThisPrompt()) return fail(ErrorCode::kBadAnswer, status);
  return fail(ErrorCode::kUnsupported, status);
}

Completion HttpLlm::Read(Transfer& transfer) const {
  if (transfer.result != CURLE_OK || !IsGood(transfer.status)) return ReadFailure(transfer);
  Completion completion = ParseChatResponse(transfer.reply, Where("/chat/completions"));
  completion.served_by =
      fmt::format("{} at {}{}", completion.served_by.empty() ? model_ : completion.served_by, options_.origin,
                  options_.path);
  if (completion.error) completion.retry_after_s = transfer.retry_after;
  for (const std::string& stop : transfer.job->request.stop) {
    const size_t at = stop.empty() ? std::string::npos : completion.text.find(stop);
    if (at != std::string::npos) completion.text.resize(at);
  }
  return completion;
}

void HttpLlm::OnChat(Transfer& transfer) {
  const Job& job = *transfer.job;
  const bool answered = transfer.result == CURLE_OK;
  if (answered && MeansRefused(transfer.status) && transfer.forms < kMaxForms) {
    const ServerError error = ServerError::Parse(transfer.status, transfer.reply);
    if (!error.MeansTooLong() && !error.MeansNotThisPrompt()) {
      for (const std::string& learnt : dialect_.LearnFrom(error, transfer.sent, job.request.constraint)) {
        spdlog::warn("{}: {}", Where(""), learnt);
      }
      if (ChatBody(job.request, model_, dialect_) != transfer.sent) {
        const int forms = transfer.forms + 1;
        SendChat(transfer.job);
        transfers_.at(last_transfer_)->forms = forms;
        return;
      }
    }
  }
  if (answered && IsGood(transfer.status)) heard_ = true;
  const bool too_slow = transfer.result == CURLE_OPERATION_TIMEDOUT && transfer.connected;
  Completion completion = Read(transfer);
  if (too_slow || (answered && MeansOverload(transfer.status))) limit_.OnOverload(transfer.limit_number);
  if (answered && IsGood(transfer.status)) {
    limit_.OnAnswer(transfer.limit_number, Since(transfer.begin), 1.0 + completion.output_tokens,
                    transfer.was_full);
  }
  Complete(transfer.job, std::move(completion));
}

}  // namespace throng::llm
