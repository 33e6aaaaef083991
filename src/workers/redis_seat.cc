#include "workers/redis_seat.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/error.h"
#include "workers/redis_keys.h"
#include "workers/wire.h"

namespace throng::workers {

namespace {

// Tasks that a worker takes at a time: few, so that others have some to do.
constexpr const char* kTasksAtOnce = "2";
// The longest wait within Redis, in seconds.
constexpr double kLongestWait = 1;
// Signs of life in the time after which a worker counts as lost, and claims in it.
constexpr double kLifeShare = 0.25;
constexpr double kClaimShare = 0.5;
constexpr auto kBetweenLooks = std::chrono::milliseconds(200);

}  // namespace

RedisSeat::RedisSeat(const RedisAddress& address, std::string worker, Patience::Tell tell)
    : address_(address),
      prefix_(KeyPrefix(address)),
      worker_(std::move(worker)),
      redis_(address),
      patience_(address, std::move(tell)) {}

RedisSeat::~RedisSeat() {
  if (!life_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  stops_.notify_all();
  life_.join();
}

bool RedisSeat::Receive(std::vector<ToWorker>& got, double seconds) {
  patience_.Try([&] {
    if (session_.empty() && !Join(got)) {
      std::this_thread::sleep_for(kBetweenLooks);
      return;
    }
    redis_.DoAll(commands_);
    commands_.clear();
    if (Clock::now() - claimed_ > std::chrono::duration<double>(lost_after_s_ * kClaimShare)) Claim(got);
    Read(got, got.empty() ? seconds : 0);
  });
  return !is_over_;
}

// Begins to work in the session that there is; false if there is none.
bool RedisSeat::Join(std::vector<ToWorker>& got) {
  const RedisValue job = redis_.Do({"HMGET", prefix_ + "job", "session", "job", "lost_after"});
  if (job.items.size() != 3 || job.items[0].is_nil || job.items[2].is_nil) return false;
  const std::string& lost_after = job.items[2].text;
  std::from_chars(lost_after.data(), lost_after.data() + lost_after.size(), lost_after_s_);
  session_ = job.items[0].text;
  redis_.Do({"XGROUP", "CREATE", Key("to:" + worker_), kGroup, "0", "MKSTREAM"}, {"BUSYGROUP"});
  redis_.Do({"EXPIRE", Key("to:" + worker_), std::to_string(kKeepSeconds)});
  got.push_back({ToWorker::Kind::kJob, 0, 0, job.items[1].text});
  life_ = std::thread([this] { ShowLife(); });
  return true;
}

// Whether the session is over: the run has ended, or goes on in another one.
bool RedisSeat::IsOver() {
  has_ended_ = !redis_.Do({"GET", Key("ended")}).is_nil;
  const RedisValue session = redis_.Do({"HGET", prefix_ + "job", "session"});
  return has_ended_ || session.text != session_;
}

void RedisSeat::Read(std::vector<ToWorker>& got, double seconds) {
  std::vector<std::string> read = {"XREADGROUP", "GROUP", kGroup, worker_, "COUNT", kTasksAtOnce};
  const auto wait_ms = static_cast<int>(std::min(seconds, kLongestWait) * 1000);
  if (wait_ms > 0) read.insert(read.end(), {"BLOCK", std::to_string(wait_ms)});
  read.insert(read.end(), {"STREAMS", Key("to:" + worker_), Key("tasks"), ">", ">"});
  const RedisValue found = redis_.Do(read, {"NOGROUP", "UNBLOCKED"});
  if (found.is_error) {
    // The run has removed the streams, or Redis has lost them, and the run will notice.
    is_over_ = IsOver();
    if (!is_over_)
      redis_.Do({"XGROUP", "CREATE", Key("to:" + worker_), kGroup, "0", "MKSTREAM"}, {"BUSYGROUP"});
    if (!is_over_) std::this_thread::sleep_for(kBetweenLooks);
    return;
  }
  for (const RedisValue& stream : found.items) {
    const RedisValue& entries = stream.items.at(1);
    if (stream.items.at(0).text == Key("tasks")) {
      for (const RedisValue& entry : entries.items) TakeTask(entry, false, got);
    } else {
      ReadOwn(entries, got);
    }
  }
  if (found.items.empty() && wait_ms > 0) is_over_ = IsOver();
}

void RedisSeat::ReadOwn(const RedisValue& entries, std::vector<ToWorker>& got) {
  for (const RedisValue& entry : entries.items) {
    got.push_back(Decode<ToWorker>(entry.items.at(1).items.at(1).text));
    commands_.push_back({"XDEL", Key("to:" + worker_), entry.items.at(0).text});
  }
}

void RedisSeat::TakeTask(const RedisValue& entry, bool is_claimed, std::vector<ToWorker>& got) {
  if (entry.items.size() != 2 || entry.items[1].items.size() != 2) return;  // removed meanwhile
  const ToWorker& task = got.emplace_back(Decode<ToWorker>(entry.items[1].items[1].text));
  if (is_claimed) commands_.push_back(Result({FromWorker::Kind::kTaken, task.step, 0, {}}));
  const std::lock_guard lock(mutex_);
  entries_.emplace(task.step, entry.items[0].text);
}

// Takes over what workers had that give no sign of life.
void RedisSeat::Claim(std::vector<ToWorker>& got) {
  const auto idle_ms = static_cast<int64_t>(lost_after_s_ * 1000);
  const RedisValue claimed = redis_.Do(
      {"XAUTOCLAIM", Key("tasks"), kGroup, worker_, std::to_string(idle_ms), "0-0", "COUNT", kTasksAtOnce},
      {"NOGROUP"});
  if (claimed.items.size() < 2) return;
  for (const RedisValue& entry : claimed.items[1].items) TakeTask(entry, true, got);
  if (claimed.items[1].items.empty()) claimed_ = Clock::now();
}

std::vector<std::string> RedisSeat::Result(const FromWorker& message) const {
  return {"XADD", Key("results"), "NOMKSTREAM", "*", "w", worker_, "m", Encode(message)};
}

void RedisSeat::Send(const FromWorker& message) {
  commands_.push_back(Result(message));
  // What is not sent now is sent by the next Receive.
  patience_.Try([&] {
    redis_.DoAll(commands_);
    commands_.clear();
  });
}

void RedisSeat::Release(uint64_t step) {
  const std::lock_guard lock(mutex_);
  const auto [begin, end] = entries_.equal_range(step);
  for (auto entry = begin; entry != end; ++entry) {
    commands_.push_back({"XACK", Key("tasks"), kGroup, entry->second});
    commands_.push_back({"XDEL", Key("tasks"), entry->second});
  }
  entries_.erase(begin, end);
}

// Keeps what the worker has from being claimed.
void RedisSeat::ShowLife() {
  Redis redis(address_);
  const auto pause = std::chrono::duration<double>(lost_after_s_ * kLifeShare);
  std::unique_lock lock(mutex_);
  while (!is_stopping_) {
    std::vector<std::string> claim = {"XCLAIM", Key("tasks"), kGroup, worker_, "0"};
    const size_t size = claim.size();
    for (const auto& [step, entry] : entries_) claim.push_back(entry);
    lock.unlock();
    try {
      redis.Do(Result({FromWorker::Kind::kAlive, 0, 0, {}}));
      if (claim.size() > size) {
        claim.emplace_back("JUSTID");
        redis.Do(claim, {"NOGROUP"});
      }
    } catch (const std::exception&) {
      // The worker's own thread notices it too, and says so.
    }
    lock.lock();
    stops_.wait_for(lock, pause, [this] { return is_stopping_; });
  }
}

}  // namespace throng::workers
