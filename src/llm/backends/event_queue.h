// Events of a virtual clock, in order of time and, at equal times, of ids.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"

namespace throng::llm {

// A radix heap: nothing may be added before the time taken last. In return, an event moves between arrays
// only a few times, sequentially, where a binary heap of a million events would miss the cache at each level.
class EventQueue {
 public:
  struct Event {
    double time;  // at least 0
    uint64_t id;
    uint32_t slot;  // for the caller's use
  };

  void Add(const Event& event) {
    if (size_++ == 0) {  // then any time is allowed
      last_ = 0;
      now_.clear();
      taken_ = 0;
    }
    THRONG_DCHECK(KeyOf(event) >= last_);
    Put(event);
  }

  // Takes all events of the next moment, unless it is after `limit`. The span is valid until the next call.
  std::span<const Event> TakeNext(double limit) {
    if (now_.size() == taken_ && !Advance(limit)) return {};
    const std::span<Event> events(now_.begin() + static_cast<ptrdiff_t>(taken_), now_.end());
    if (events.front().time > limit) return {};
    if (!is_sorted_) {
      std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) { return a.id < b.id; });
    }
    taken_ = now_.size();
    size_ -= events.size();
    return events;
  }

  size_t Bytes() const {
    size_t events = now_.capacity() + moving_.capacity();
    for (const std::vector<Event>& bucket : later_) events += bucket.capacity();
    return events * sizeof(Event);
  }

 private:
  // Doubles of equal sign order like their bits.
  static uint64_t KeyOf(const Event& event) { return std::bit_cast<uint64_t>(event.time); }
  // The place of the highest bit in which the time differs from the last one taken; 0: none.
  int BucketOf(const Event& event) const { return std::bit_width(KeyOf(event) ^ last_); }

  void Put(const Event& event) {
    const int bucket = BucketOf(event);
    if (bucket > 0) {
      later_[static_cast<size_t>(bucket) - 1].push_back(event);
      return;
    }
    is_sorted_ = now_.size() == taken_ || (is_sorted_ && now_.back().id < event.id);
    now_.push_back(event);
  }

  // Advances to the next moment with an event, unless it is after `limit`.
  bool Advance(double limit) {
    now_.clear();
    taken_ = 0;
    for (std::vector<Event>& bucket : later_) {
      if (bucket.empty()) continue;
      const auto first = std::min_element(bucket.begin(), bucket.end(),
                                          [](const Event& a, const Event& b) { return a.time < b.time; });
      if (first->time > limit) return false;
      last_ = KeyOf(*first);
      moving_.swap(bucket);
      for (const Event& event : moving_) Put(event);
      moving_.clear();
      return true;
    }
    return false;
  }

  uint64_t last_ = 0;
  size_t size_ = 0;
  std::vector<Event> now_;  // events at the moment last_
  size_t taken_ = 0;        // number of events taken from now_
  bool is_sorted_ = true;
  std::array<std::vector<Event>, 64> later_;
  std::vector<Event> moving_;  // scratch
};

}  // namespace throng::llm
