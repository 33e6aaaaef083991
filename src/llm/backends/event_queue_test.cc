#include "llm/backends/event_queue.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "base/rng.h"

namespace throng::llm {
namespace {

constexpr double kForever = std::numeric_limits<double>::infinity();

// Compares with a sorted set, with many events at one moment and some at the current time.
TEST(EventQueue, TakesInOrderOfTimeThenId) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    CounterRng rng(seed);
    EventQueue queue;
    std::set<std::pair<double, uint64_t>> expected;
    double now = 0;
    uint64_t id = 0;
    const auto add = [&] {
      const double delay = seed % 2 == 0 ? static_cast<double>(rng.NextBelow(4)) : rng.NextDouble() * 9;
      // Like calls that start when others end: not in the order of ids.
      const uint64_t next = id++ ^ (seed % 3);
      queue.Add({now + delay, next, static_cast<uint32_t>(next)});
      expected.emplace(now + delay, next);
    };
    for (int i = 0; i < 2000; ++i) {
      for (uint64_t n = rng.NextBelow(4); n > 0; --n) add();
      const double limit = rng.NextBelow(4) == 0 ? kForever : now + rng.NextDouble() * 3;
      if (rng.NextBelow(3) == 0) continue;
      const std::span<const EventQueue::Event> events = queue.TakeNext(limit);
      if (events.empty()) {
        ASSERT_TRUE(expected.empty() || expected.begin()->first > limit);
        if (limit < kForever) now = limit;
        continue;
      }
      now = events.front().time;
      ASSERT_LE(now, limit);
      for (const EventQueue::Event& event : events) {
        ASSERT_EQ(std::pair(event.time, event.id), *expected.begin());
        ASSERT_EQ(event.slot, event.id);
        expected.erase(expected.begin());
      }
      ASSERT_TRUE(expected.empty() || expected.begin()->first > now);
    }
    ASSERT_GT(id, 2000u);
  }
}

TEST(EventQueue, EmptyItTakesAnyTime) {
  EventQueue queue;
  queue.Add({5, 1, 0});
  EXPECT_EQ(queue.TakeNext(kForever).size(), 1u);
  queue.Add({2, 2, 0});
  EXPECT_TRUE(queue.TakeNext(1).empty());
  ASSERT_EQ(queue.TakeNext(2).size(), 1u);
  EXPECT_TRUE(queue.TakeNext(kForever).empty());
}

}  // namespace
}  // namespace throng::llm
