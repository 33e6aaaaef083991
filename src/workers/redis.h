// A connection to Redis, which is made again when it is lost.
#pragma once

#include <chrono>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct redisContext;
struct redisReply;

namespace throng::workers {

// redis://[USER:PASSWORD@]HOST[:PORT]/NAME?lost_after=10&away=300
struct RedisAddress {
  std::string host;
  int port = 6379;
  std::string user{};
  std::string password{};
  std::string name{};        // of the run: keys begin with "throng:NAME:"
  double lost_after_s = 10;  // without a sign of life, a worker counts as lost
  double away_s = 300;       // the longest time that Redis may be out of reach

  // Throws kInvalid, naming what is allowed.
  static RedisAddress Parse(const std::string& url);
  std::string Where() const;  // "redis://HOST:PORT/NAME"
};

// What Redis answers, as far as it is used here.
struct RedisValue {
  bool is_nil = false;
  std::string text;  // of strings, states and errors
  int64_t number = 0;
  bool is_error = false;
  std::vector<RedisValue> items;
};

// Not thread-safe. Every method may throw RedisAway.
class RedisAway : public std::exception {
 public:
  explicit RedisAway(std::string why) : why_(std::move(why)) {}
  const char* what() const noexcept override { return why_.c_str(); }

 private:
  std::string why_;
};

class Redis {
 public:
  explicit Redis(RedisAddress address) : address_(std::move(address)) {}

  // One command; throws kUnavailable for errors of Redis whose first word is not among those `allowed`.
  RedisValue Do(const std::vector<std::string>& command,
                std::initializer_list<std::string_view> allowed = {});
  // Commands whose answers do not matter, in one round trip.
  void DoAll(const std::vector<std::vector<std::string>>& commands);
  // Differs once Redis has been started again.
  std::string ServerId();

 private:
  struct Close {
    void operator()(redisContext* context) const;
  };
  void Connect();
  [[noreturn]] void Lose();

  RedisAddress address_;
  std::unique_ptr<redisContext, Close> context_;
};

// Repeats what RedisAway interrupts until it succeeds, or has failed for address.away_s: then throws
// kUnavailable.
class Patience {
 public:
  using Tell = std::function<void(const std::string&)>;
  // tell: what a user would like to know, in a sentence, once for each time that Redis is away.
  Patience(const RedisAddress& address, Tell tell) : address_(address), tell_(std::move(tell)) {}

  // Returns whether `attempt` has succeeded; if not, call it again soon.
  bool Try(const std::function<void()>& attempt);

 private:
  RedisAddress address_;
  Tell tell_;
  bool is_away_ = false;
  std::chrono::steady_clock::time_point since_{};
};

}  // namespace throng::workers
