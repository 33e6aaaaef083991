#include "workers/redis_link.h"

#include <algorithm>
#include <random>
#include <utility>

#include "base/error.h"
#include "workers/redis_keys.h"
#include "workers/wire.h"

namespace throng::workers {

namespace {

// Turns with each worker at a time: enough for one to do while others are on their way.
constexpr size_t kTurnsEach = 8;
constexpr size_t kMostRead = 512;  // entries at a time
// The longest wait within Redis, in seconds.
constexpr double kLongestWait = 1;
// How long the run waits for a first worker before it says so.
constexpr double kPatienceAlone = 5;

std::string NewSession() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

double SecondsSince(std::chrono::steady_clock::time_point then) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - then).count();
}

}  // namespace

RedisLink::RedisLink(const RedisAddress& address, std::string job, Patience::Tell tell)
    : address_(address),
      prefix_(KeyPrefix(address)),
      session_(NewSession()),
      job_(std::move(job)),
      tell_(tell),
      redis_(address),
      patience_(address, std::move(tell)) {
  while (!patience_.Try([this] {
    Clear();
    Begin();
  })) {
  }
}

RedisLink::~RedisLink() {
  try {
    redis_.Do({"SET", Key("ended"), "1", "EX", std::to_string(kEndedSeconds)});
    Clear();
  } catch (const std::exception&) {
    // They vanish after kKeepSeconds.
  }
}

// Removes what this session and others have left, but for the word that this one has ended.
void RedisLink::Clear() {
  std::string cursor = "0";
  do {
    const RedisValue found = redis_.Do({"SCAN", cursor, "MATCH", prefix_ + "*", "COUNT", "1000"});
    cursor = found.items.at(0).text;
    for (const RedisValue& key : found.items.at(1).items) {
      if (key.text != Key("ended")) redis_.Do({"DEL", key.text});
    }
  } while (cursor != "0");
}

void RedisLink::Begin() {
  server_id_ = redis_.ServerId();
  is_checked_ = true;
  redis_.Do({"XGROUP", "CREATE", Key("tasks"), kGroup, "0", "MKSTREAM"}, {"BUSYGROUP"});
  // Workers add to it only while it is there, so that nobody makes it again once the run has removed it.
  redis_.Do({"XGROUP", "CREATE", Key("results"), kGroup, "0", "MKSTREAM"}, {"BUSYGROUP"});
  redis_.Do({"HSET", prefix_ + "job", "session", session_, "job", job_, "lost_after",
             std::to_string(address_.lost_after_s)});
  KeepKeys();
}

// Keys of a run that is killed, and not resumed, vanish in the end.
void RedisLink::KeepKeys() {
  kept_ = Clock::now();
  const RedisValue session = redis_.Do({"HGET", prefix_ + "job", "session"});
  if (!session.is_nil && session.text != session_) {
    throw MakeError(ErrorCode::kInvalid,
                    "{}: another run has begun under this name; allowed: a name for each", address_.Where());
  }
  for (const std::string& key : {prefix_ + "job", Key("tasks"), Key("results")}) {
    redis_.Do({"EXPIRE", key, std::to_string(kKeepSeconds)});
  }
}

size_t RedisLink::Capacity() { return std::max<size_t>(heard_.size(), 1) * kTurnsEach; }

std::string RedisLink::Post(const ToWorker& message) {
  commands_.push_back({"XADD", Key("tasks"), "*", "m", Encode(message)});
  return {};
}

// Also to a worker that has been silent for long: it may come back, and would wait for this forever. What it
// reads is there since it joined, and is not made again once the run has removed it.
void RedisLink::Send(const std::string& worker, const ToWorker& message) {
  commands_.push_back({"XADD", Key("to:" + worker), "NOMKSTREAM", "*", "m", Encode(message)});
}

void RedisLink::Receive(std::vector<Arrival>& arrived, double seconds) {
  if (!patience_.Try([&] { Look(arrived, seconds); })) is_checked_ = false;
  ForgetTheLost();
}

void RedisLink::Look(std::vector<Arrival>& arrived, double seconds) {
  if (!is_checked_) {
    if (redis_.ServerId() != server_id_) {
      Begin();
      arrived.push_back({Arrival::Kind::kReset});
    }
    is_checked_ = true;
  }
  redis_.DoAll(commands_);
  commands_.clear();
  if (SecondsSince(kept_) > address_.lost_after_s) KeepKeys();
  std::vector<std::string> read = {"XREAD", "COUNT", std::to_string(kMostRead)};
  const auto wait_ms = static_cast<int>(std::min(seconds, kLongestWait) * 1000);
  if (wait_ms > 0) read.insert(read.end(), {"BLOCK", std::to_string(wait_ms)});
  read.insert(read.end(), {"STREAMS", Key("results"), last_read_});
  const RedisValue got = redis_.Do(read);
  if (!got.items.empty()) Read(got.items.at(0).items.at(1), arrived);
}

void RedisLink::Read(const RedisValue& entries, std::vector<Arrival>& arrived) {
  for (const RedisValue& entry : entries.items) {
    last_read_ = entry.items.at(0).text;
    const std::vector<RedisValue>& fields = entry.items.at(1).items;
    const std::string& worker = fields.at(1).text;
    heard_[worker] = Clock::now();
    arrived.push_back({Arrival::Kind::kMessage, worker, Decode<FromWorker>(fields.at(3).text)});
  }
  commands_.push_back({"XTRIM", Key("results"), "MINID", "~", last_read_});
}

void RedisLink::ForgetTheLost() {
  std::erase_if(heard_,
                [&](const auto& worker) { return SecondsSince(worker.second) > address_.lost_after_s; });
  if (!heard_.empty()) {
    alone_since_ = Clock::now();
    has_told_alone_ = false;
  } else if (SecondsSince(alone_since_) > kPatienceAlone && !std::exchange(has_told_alone_, true) && tell_) {
    tell_(fmt::format("no worker is at {}: the run waits for one (python3 -m throng.worker {})",
                      address_.Where(), address_.Where()));
  }
}

}  // namespace throng::workers
