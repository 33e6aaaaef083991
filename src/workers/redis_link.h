// Workers anywhere, by way of streams in Redis. Keys begin with "throng:NAME:" of the address:
//   job             what workers need to know, and the number of the session that has said it last
//   S:tasks         the steps to begin in session S; workers read them as one consumer group
//   S:to:WORKER     what the run says to one worker
//   S:results       what workers say
//   S:ended         that the run has ended
// An entry of S:tasks stays pending until its worker has no more to do with the step, and is claimed by
// another one when that worker gives no sign of life.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "workers/link.h"
#include "workers/redis.h"

namespace throng::workers {

class RedisLink final : public Link {
 public:
  // `job`: as for ProcessLink. `tell`: as for Patience. Removes what earlier sessions have left.
  RedisLink(const RedisAddress& address, std::string job, Patience::Tell tell);
  ~RedisLink() override;  // removes the keys

  size_t Capacity() override;
  std::string Post(const ToWorker& message) override;
  void Send(const std::string& worker, const ToWorker& message) override;
  void Receive(std::vector<Arrival>& arrived, double seconds) override;

 private:
  using Clock = std::chrono::steady_clock;

  std::string Key(const std::string& of) const { return prefix_ + session_ + ":" + of; }
  void Begin();
  void Clear();
  void Look(std::vector<Arrival>& arrived, double seconds);
  void Read(const RedisValue& entries, std::vector<Arrival>& arrived);
  void ForgetTheLost();
  void KeepKeys();

  const RedisAddress address_;
  const std::string prefix_;
  const std::string session_;
  const std::string job_;
  const Patience::Tell tell_;
  Redis redis_;
  Patience patience_;
  std::string server_id_;
  bool is_checked_ = false;                         // that the server is the one with this id
  std::vector<std::vector<std::string>> commands_;  // to be sent
  std::string last_read_ = "0";                     // entry of S:results
  std::map<std::string, Clock::time_point> heard_;  // of workers
  Clock::time_point kept_{};
  Clock::time_point alone_since_ = Clock::now();
  bool has_told_alone_ = false;
};

}  // namespace throng::workers
