// How many requests a server gets at once.
#pragma once

#include <cstdint>

namespace throng::llm {

// Starts small and doubles while that makes the server faster: while the time per request grows by less than
// the number of requests. Then it stays, and tries a quarter more now and then. When the server has too much
// (busy, timeouts) it halves, and goes on a step at a time. One thread.
class InFlightLimit {
 public:
  // Without `adapts` it is always `most`.
  explicit InFlightLimit(int most, bool adapts = true)
      : most_(most), adapts_(adapts), limit_(adapts && most > kStart ? kStart : most) {}

  int Limit() const { return limit_; }

  // The number of a request that is sent now.
  uint64_t OnSend() { return ++last_sent_; }

  // That request was answered after `seconds`. was_full: no more could be sent meanwhile; otherwise the time
  // says nothing about the limit. `work`: the tokens of the answer, or whatever the time should grow with.
  void OnAnswer(uint64_t number, double seconds, double work, bool was_full);

  // The server was too busy for that request.
  void OnOverload(uint64_t number);

 private:
  static constexpr int kStart = 8;
  static constexpr int kLeastWindow = 8;      // answers that are judged together
  static constexpr double kWorthwhile = 1.1;  // so much more throughput justifies a higher limit
  static constexpr int kWindowsHeld = 8;      // before a higher limit is tried again

  void SetLimit(double limit);

  int most_;
  bool adapts_;
  int limit_;
  bool doubles_ = true;
  double best_ = 0;  // throughput at best_limit_: work per second
  int best_limit_ = 0;
  int windows_to_hold_ = 0;
  uint64_t last_sent_ = 0;
  uint64_t window_after_ = 0;   // only answers to requests sent after this one are judged
  uint64_t lowered_after_ = 0;  // the last one sent before the limit was last lowered for an overload
  int answers_ = 0;             // of the window
  double seconds_ = 0;
  double work_ = 0;
};

}  // namespace throng::llm
