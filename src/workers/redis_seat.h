// A worker's end of the way through Redis (redis_link.h).
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "workers/link.h"
#include "workers/redis.h"

namespace throng::workers {

class RedisSeat final : public Seat {
 public:
  RedisSeat(const RedisAddress& address, std::string worker, Patience::Tell tell);
  ~RedisSeat() override;

  // The first message is the job of the newest session, once there is one.
  bool Receive(std::vector<ToWorker>& got, double seconds) override;
  void Send(const FromWorker& message) override;
  void Release(uint64_t step) override;

  // After Receive has said that it is over: whether the run has ended. If not, it goes on in another session.
  bool HasEnded() const { return has_ended_; }

 private:
  using Clock = std::chrono::steady_clock;

  std::string Key(const std::string& of) const { return prefix_ + session_ + ":" + of; }
  bool Join(std::vector<ToWorker>& got);
  bool IsOver();
  void Read(std::vector<ToWorker>& got, double seconds);
  void ReadOwn(const RedisValue& entries, std::vector<ToWorker>& got);
  void TakeTask(const RedisValue& entry, bool is_claimed, std::vector<ToWorker>& got);
  void Claim(std::vector<ToWorker>& got);
  std::vector<std::string> Result(const FromWorker& message) const;
  void ShowLife();

  const RedisAddress address_;
  const std::string prefix_;
  const std::string worker_;
  Redis redis_;
  Patience patience_;
  std::string session_;  // empty: none has been joined
  double lost_after_s_ = 0;
  bool is_over_ = false;
  bool has_ended_ = false;
  std::vector<std::vector<std::string>> commands_;  // to be sent
  Clock::time_point claimed_{};

  std::mutex mutex_;
  std::multimap<uint64_t, std::string> entries_;  // guarded by mutex_: of S:tasks, by step
  std::condition_variable stops_;
  bool is_stopping_ = false;  // guarded by mutex_
  std::thread life_;          // shows life while the worker computes
};

}  // namespace throng::workers
