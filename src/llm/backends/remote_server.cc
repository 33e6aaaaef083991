#include "llm/backends/remote_server.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "llm/answer/answer_checker.h"
#include "llm/backends/chat_protocol.h"

namespace throng::llm {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

constexpr const char* kChat = "/chat/completions";
constexpr const char* kModels = "/models";
constexpr double kMaxModelsSeconds = 30;  // for the question which models there are
constexpr double kAloneSeconds = 1;
// Questions for the models answered so do not mean that it is still loading.
constexpr int kBusyAboutModels = 3;
constexpr int kMaxForms = 16;        // changes of one request that a server may ask for
constexpr double kFirstRest = 0.25;  // seconds
constexpr double kLongestRest = 60;  // if the server does not name a time

bool IsGood(int status) { return status >= 200 && status < 300; }
bool MeansBusy(int status) {
  return status == 408 || status == 409 || status == 425 || status == 429 || (status >= 500 && status != 501);
}
bool MeansOverload(int status) { return status == 429 || status == 503 || status == 529; }
bool MeansRefused(int status) { return status == 400 || status == 422 || status == 501; }
bool MeansForAll(int status) { return status == 401 || status == 403 || status == 404 || status == 405; }

}  // namespace

void RemoteServer::Address(HttpTransfer& transfer, const std::string& url, double timeout) const {
  transfer.url = url;
  transfer.api_key = options_.api_key;
  transfer.connect_timeout = options_.connect_timeout;
  transfer.timeout = timeout;
}

std::unique_ptr<HttpTransfer> RemoteServer::NextQuestion() {
  if (state_ != State::kUnknown) return nullptr;
  state_ = State::kAsked;
  auto transfer = std::make_unique<HttpTransfer>();
  Address(*transfer, asks_version_ ? options_.origin + "/version" : options_.Address() + kModels,
          std::min(options_.timeout, kMaxModelsSeconds));
  return transfer;
}

// A server that cannot say what it is is asked nevertheless if a model is named.
std::optional<Completion> RemoteServer::OnQuestion(const HttpTransfer& transfer) {
  const bool listed = transfer.HasReply() && transfer.status == 200;
  if (asks_version_) {
    if (listed) dialect_.ReadVersion(transfer.reply);
    state_ = State::kKnown;
    return std::nullopt;
  }
  state_ = State::kUnknown;
  const std::string first = listed ? dialect_.ReadModels(transfer.reply, transfer.server, model_) : "";
  if (model_.empty()) model_ = first;
  const bool busy =
      transfer.HasReply() && MeansBusy(transfer.status) && ++busy_about_models_ < kBusyAboutModels;
  if (!model_.empty() && (transfer.HasReply() || transfer.connected) && !busy) {
    asks_version_ = dialect_.IsVllm();
    if (!asks_version_) state_ = State::kKnown;
    return std::nullopt;
  }
  Completion failed = ReadFailure(transfer, kModels);
  if (listed) {
    failed.error =
        MakeError(ErrorCode::kUnavailable, "{} does not name a model: name one with ?model=", Where(kModels));
  }
  return failed;
}

int RemoteServer::Limit() const {
  if (rests_ > 0) return 1;
  const bool alone = !has_answered_ && first_sent_ &&
                     Clock::now() - *first_sent_ < std::chrono::duration<double>(kAloneSeconds);
  return alone ? 1 : limit_.Limit();
}

std::unique_ptr<ChatTransfer> RemoteServer::Written(const Request& request) {
  auto transfer = std::make_unique<ChatTransfer>();
  Address(*transfer, options_.Address() + kChat, options_.timeout);
  transfer->sent = ChatBody(request, model_, dialect_);
  transfer->body = transfer->sent.dump(-1, ' ', false, Json::error_handler_t::replace);
  return transfer;
}

std::unique_ptr<ChatTransfer> RemoteServer::Ask(const Request& request) {
  auto transfer = Written(request);
  transfer->limit_number = last_sent_ = limit_.OnSend();
  if (!first_sent_) first_sent_ = Clock::now();
  ++calls_;
  return transfer;
}

std::unique_ptr<ChatTransfer> RemoteServer::InOtherForm(const ChatTransfer& transfer,
                                                        const Request& request) {
  if (!transfer.HasReply() || !MeansRefused(transfer.status) || transfer.forms >= kMaxForms) return nullptr;
  const ServerError error = ServerError::Parse(transfer.status, transfer.reply);
  if (error.MeansTooLong() || error.MeansNotThisPrompt()) return nullptr;
  for (const std::string& learnt : dialect_.LearnFrom(error, transfer.sent, request.constraint)) {
    spdlog::warn("{}: {}", Where(), learnt);
  }
  if (ChatBody(request, model_, dialect_) == transfer.sent) return nullptr;
  auto other = Ask(request);
  other->forms = transfer.forms + 1;
  return other;
}

// What went wrong, with a transfer or with a status that is not 200.
Completion RemoteServer::ReadFailure(const HttpTransfer& transfer, const char* endpoint) const {
  Completion failed;
  failed.finish = FinishReason::kError;
  failed.retry_after_s = 0;
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
        return fail(ErrorCode::kBadAnswer,
                    fmt::format("answered with more than {} bytes", HttpTransfers::kMaxReplyBytes));
      }
      [[fallthrough]];
    default:
      return fail(ErrorCode::kUnavailable,
                  fmt::format("broke the connection off ({})", OneLine(transfer.error)));
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

Completion RemoteServer::Read(const ChatTransfer& transfer, const Request& request) {
  const bool too_slow = transfer.result == CURLE_OPERATION_TIMEDOUT && transfer.connected;
  if (too_slow || (transfer.HasReply() && MeansOverload(transfer.status)))
    limit_.OnOverload(transfer.limit_number);
  if (!transfer.HasReply() || !IsGood(transfer.status)) return ReadFailure(transfer, kChat);
  has_answered_ = true;
  Completion completion = ParseChatResponse(transfer.reply, Where(kChat));
  limit_.OnAnswer(transfer.limit_number, transfer.Seconds(), 1.0 + completion.output_tokens,
                  /*was_full=*/transfer.limit_number <= full_through_);
  completion.served_by = fmt::format("{} at {}", completion.served_by.empty() ? model_ : completion.served_by,
                                     options_.Address());
  if (completion.error) completion.retry_after_s = transfer.retry_after;
  for (const std::string& stop : request.stop) {
    const size_t at = stop.empty() ? std::string::npos : completion.text.find(stop);
    if (at != std::string::npos) completion.text.resize(at);
  }
  return completion;
}

bool RemoteServer::Rest(const HttpTransfer& transfer, double retry_after_s) {
  const auto after = [](Clock::time_point begin, double seconds) {
    return begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  };
  const bool was_well = rests_ == 0;
  if (state_ == State::kKnown && !transfer.HasReply()) {
    state_ = State::kUnknown;
    asks_version_ = false;
  }
  if (transfer.begin >= rested_) {  // else it is the failure for which it rested
    rested_ = Clock::now();
    const double growing =
        std::min(kFirstRest * static_cast<double>(1u << std::min(rests_, 16)), kLongestRest);
    rests_until_ = after(rested_, growing);
    ++rests_;
  }
  rests_until_ = std::max(rests_until_, after(Clock::now(), std::min(retry_after_s, 86400.0)));
  return was_well;
}

}  // namespace throng::llm
