// The two ends of the way between a run and its workers: sockets of child processes, or Redis.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "workers/message.h"

namespace throng::workers {

struct Arrival {
  enum class Kind {
    kMessage,
    kLost,   // the worker is gone, and what it had begun; message.step is what it was at, if that is known
    kReset,  // what was sent may not have arrived
  };
  Kind kind = Kind::kMessage;
  std::string worker{};
  FromWorker message{};
};

// The run's end. Used by the run's thread alone.
class Link {
 public:
  virtual ~Link() = default;
  // How many turns the workers take at the moment, those in work included.
  virtual size_t Capacity() = 0;
  // Hands a message to some worker. Returns its name; empty: it is not known yet.
  virtual std::string Post(const ToWorker& message) = 0;
  // Sends a message to this worker; lost if the worker is.
  virtual void Send(const std::string& worker, const ToWorker& message) = 0;
  // Sends what is to be sent, waits until something arrives or `seconds` have passed, and appends all that
  // has arrived. Throws kUnavailable once the workers have been out of reach for too long.
  virtual void Receive(std::vector<Arrival>& arrived, double seconds) = 0;
};

// A worker's end. Used by the worker's thread alone.
class Seat {
 public:
  virtual ~Seat() = default;
  // Waits for at least one message, `seconds` at most. False: the run has ended. Throws kUnavailable as Link.
  virtual bool Receive(std::vector<ToWorker>& got, double seconds) = 0;
  virtual void Send(const FromWorker& message) = 0;
  // The worker no longer has this step: nobody has to do it in its place.
  virtual void Release(uint64_t step) = 0;
};

}  // namespace throng::workers
