#include "workers/redis.h"

#include <hiredis/hiredis.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <thread>
#include <utility>

#include "base/error.h"

namespace throng::workers {

namespace {

constexpr double kConnectSeconds = 2;
// Longer than any command waits in Redis (XREAD BLOCK).
constexpr double kAnswerSeconds = 10;
constexpr auto kBetweenAttempts = std::chrono::milliseconds(200);
constexpr std::string_view kScheme = "redis://";
constexpr const char* kAllowed = "redis://[USER:PASSWORD@]HOST[:PORT]/NAME[?lost_after=10&away=300]";

timeval ToTimeval(double seconds) {
  const auto micros = static_cast<int64_t>(seconds * 1e6);
  return {static_cast<time_t>(micros / 1'000'000), static_cast<suseconds_t>(micros % 1'000'000)};
}

template <typename T>
bool ParseNumber(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

// The part of `text` before the first `mark`, which `text` loses with it; all, if there is none.
std::string_view TakeUntil(std::string_view& text, char mark) {
  const size_t at = text.find(mark);
  const std::string_view part = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view() : text.substr(at + 1);
  return part;
}

// Of what keys, and patterns of them, can hold.
bool IsPlainName(std::string_view name) {
  return std::all_of(name.begin(), name.end(), [](unsigned char letter) {
    return std::isalnum(letter) != 0 || letter == '-' || letter == '_' || letter == '.';
  });
}

RedisValue ToValue(const redisReply& reply) {
  RedisValue value;
  value.is_nil = reply.type == REDIS_REPLY_NIL;
  value.is_error = reply.type == REDIS_REPLY_ERROR;
  value.number = reply.type == REDIS_REPLY_INTEGER ? reply.integer : 0;
  if (reply.str != nullptr) value.text.assign(reply.str, reply.len);
  for (size_t i = 0; reply.type == REDIS_REPLY_ARRAY && i < reply.elements; ++i) {
    value.items.push_back(ToValue(*reply.element[i]));
  }
  return value;
}

void Append(redisContext& context, const std::vector<std::string>& command) {
  std::vector<const char*> parts;
  std::vector<size_t> sizes;
  for (const std::string& part : command) {
    parts.push_back(part.data());
    sizes.push_back(part.size());
  }
  redisAppendCommandArgv(&context, static_cast<int>(parts.size()), parts.data(), sizes.data());
}

}  // namespace

RedisAddress RedisAddress::Parse(const std::string& url) {
  const auto refuse = [&] {
    return MakeError(ErrorCode::kInvalid, "workers {:?}: allowed: {}", url, kAllowed);
  };
  std::string_view rest = url;
  if (!rest.starts_with(kScheme)) throw refuse();
  rest.remove_prefix(kScheme.size());
  RedisAddress address;
  std::string_view server = TakeUntil(rest, '/');
  address.name = TakeUntil(rest, '?');
  if (const size_t at = server.rfind('@'); at != std::string_view::npos) {
    std::string_view login = server.substr(0, at);
    server.remove_prefix(at + 1);
    address.user = TakeUntil(login, ':');
    address.password = login;
  }
  address.host = TakeUntil(server, ':');
  if (!server.empty() && (!ParseNumber(server, address.port) || address.port < 1 || address.port > 65535))
    throw refuse();
  while (!rest.empty()) {
    std::string_view option = TakeUntil(rest, '&');
    const std::string_view key = TakeUntil(option, '=');
    double& value = key == "away" ? address.away_s : address.lost_after_s;
    if ((key != "away" && key != "lost_after") || !ParseNumber(option, value) || !(value > 0 && value < 1e6))
      throw refuse();
  }
  if (address.host.empty() || address.name.empty() || !IsPlainName(address.name)) throw refuse();
  return address;
}

std::string RedisAddress::Where() const {
  return std::string(kScheme) + host + ":" + std::to_string(port) + "/" + name;
}

void Redis::Close::operator()(redisContext* context) const { redisFree(context); }

void Redis::Lose() {
  std::string why = context_ != nullptr && context_->err != 0 ? context_->errstr : "it does not answer";
  context_ = nullptr;
  throw RedisAway(std::move(why));
}

void Redis::Connect() {
  if (context_ != nullptr) return;
  context_.reset(redisConnectWithTimeout(address_.host.c_str(), address_.port, ToTimeval(kConnectSeconds)));
  if (context_ == nullptr || context_->err != 0) Lose();
  redisSetTimeout(context_.get(), ToTimeval(kAnswerSeconds));
  redisEnableKeepAlive(context_.get());
  if (address_.password.empty()) return;
  std::vector<std::string> login = {"AUTH"};
  if (!address_.user.empty()) login.push_back(address_.user);
  login.push_back(address_.password);
  Do(login);
}

RedisValue Redis::Do(const std::vector<std::string>& command,
                     std::initializer_list<std::string_view> allowed) {
  Connect();
  Append(*context_, command);
  void* got = nullptr;
  if (redisGetReply(context_.get(), &got) != REDIS_OK || got == nullptr) Lose();
  const std::unique_ptr<void, void (*)(void*)> reply(got, freeReplyObject);
  RedisValue value = ToValue(*static_cast<redisReply*>(got));
  const auto is_its = [&](std::string_view word) { return value.text.starts_with(word); };
  if (!value.is_error || std::any_of(allowed.begin(), allowed.end(), is_its)) return value;
  if (value.text.starts_with("LOADING")) throw RedisAway("it reads its file");
  throw MakeError(ErrorCode::kUnavailable, "{}: {}: {}", address_.Where(), command.front(), value.text);
}

void Redis::DoAll(const std::vector<std::vector<std::string>>& commands) {
  if (commands.empty()) return;
  Connect();
  for (const std::vector<std::string>& command : commands) Append(*context_, command);
  std::string refused;
  for (size_t i = 0; i < commands.size(); ++i) {
    void* got = nullptr;
    if (redisGetReply(context_.get(), &got) != REDIS_OK || got == nullptr) Lose();
    const std::unique_ptr<void, void (*)(void*)> reply(got, freeReplyObject);
    const auto& value = *static_cast<redisReply*>(got);
    if (value.type == REDIS_REPLY_ERROR && refused.empty()) refused.assign(value.str, value.len);
  }
  if (refused.starts_with("LOADING")) throw RedisAway("it reads its file");
  if (!refused.empty()) throw MakeError(ErrorCode::kUnavailable, "{}: {}", address_.Where(), refused);
}

std::string Redis::ServerId() {
  const RedisValue info = Do({"INFO", "server"});
  const size_t at = info.text.find("run_id:");
  return at == std::string::npos ? std::string() : info.text.substr(at, info.text.find('\r', at) - at);
}

bool Patience::Try(const std::function<void()>& attempt) {
  try {
    attempt();
    is_away_ = false;
    return true;
  } catch (const RedisAway& away) {
    const auto now = std::chrono::steady_clock::now();
    if (!std::exchange(is_away_, true)) {
      since_ = now;
      if (tell_) {
        tell_(fmt::format("{} is away ({}): waiting for it, at most {:g} s", address_.Where(), away.what(),
                          address_.away_s));
      }
    }
    if (std::chrono::duration<double>(now - since_).count() > address_.away_s) {
      throw MakeError(ErrorCode::kUnavailable, "{} has been away for {:g} s: {}", address_.Where(),
                      address_.away_s, away.what());
    }
    std::this_thread::sleep_for(kBetweenAttempts);
    return false;
  }
}

}  // namespace throng::workers
