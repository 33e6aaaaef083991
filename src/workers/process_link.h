// Workers that are child processes of the run, each at the other end of a socket.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "workers/link.h"
#include "workers/stream.h"

namespace throng::workers {

class ProcessLink final : public Link {
 public:
  // start(): starts a process and returns the run's end of its socket. One that is lost is replaced, unless
  // it never was ready. `job` is the first message that each gets.
  ProcessLink(int count, std::string job, std::function<int()> start);

  size_t Capacity() override;
  std::string Post(const ToWorker& message) override;
  void Send(const std::string& worker, const ToWorker& message) override;
  void Receive(std::vector<Arrival>& arrived, double seconds) override;

 private:
  struct Worker {
    std::string name;
    Stream stream;
    bool is_ready = false;
    std::deque<uint64_t> turns{};  // steps that have a turn with it, as they were given
  };

  void Start();
  Worker* Find(const std::string& name);
  void WaitForSockets(double seconds);
  bool Read(Worker& worker, std::vector<Arrival>& arrived);

  std::string job_;
  std::function<int()> start_;
  std::vector<Worker> workers_;
  int num_started_ = 0;
  std::vector<std::string> messages_;
};

// The worker's end of the socket.
class ProcessSeat final : public Seat {
 public:
  explicit ProcessSeat(int socket) : stream_(socket) {}
  bool Receive(std::vector<ToWorker>& got, double seconds) override;
  void Send(const FromWorker& message) override;
  void Release(uint64_t) override {}

 private:
  Stream stream_;
  std::vector<std::string> messages_;
};

}  // namespace throng::workers
