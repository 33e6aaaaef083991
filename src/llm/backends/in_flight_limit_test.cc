#include "llm/backends/in_flight_limit.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>

namespace throng::llm {
namespace {

// A server in virtual time that always has requests waiting. seconds_at: how long a request takes while so
// many are in flight; most: more at once are refused.
class Server {
 public:
  Server(InFlightLimit& limit, std::function<double(int)> seconds_at, int most = 1 << 20)
      : limit_(limit), seconds_at_(std::move(seconds_at)), most_(most) {}

  void Run(int answers) {
    while (answers > 0) {
      while (static_cast<int>(in_flight_.size()) < limit_.Limit()) {
        const uint64_t number = limit_.OnSend();
        const int load = static_cast<int>(in_flight_.size()) + 1;
        if (load > most_) {
          limit_.OnOverload(number);
          ++refused_;
          break;
        }
        in_flight_.emplace(now_ + seconds_at_(load), std::pair(number, now_));
      }
      const auto first = in_flight_.begin();
      now_ = first->first;
      const auto [number, begin] = first->second;
      in_flight_.erase(first);
      limit_.OnAnswer(number, now_ - begin, 10, true);
      --answers;
    }
  }
  double Now() const { return now_; }
  int Refused() const { return refused_; }

 private:
  InFlightLimit& limit_;
  std::function<double(int)> seconds_at_;
  int most_;
  double now_ = 0;
  int refused_ = 0;
  std::multimap<double, std::pair<uint64_t, double>> in_flight_;
};

TEST(InFlightLimit, RisesToTheMostWhileTheTimeStays) {
  InFlightLimit limit(512);
  EXPECT_LE(limit.Limit(), 16);
  Server server(limit, [](int) { return 1.0; });
  server.Run(3000);
  EXPECT_EQ(limit.Limit(), 512);
  EXPECT_LT(server.Now(), 20);
  InFlightLimit few(3);
  Server(few, [](int) { return 1.0; }).Run(100);
  EXPECT_EQ(few.Limit(), 3);
}

TEST(InFlightLimit, StaysWhereMoreBringsNothing) {
  // 20 at once take a second; more only wait for each other.
  InFlightLimit limit(512);
  Server server(limit, [](int load) { return std::max(1.0, load / 20.0); });
  server.Run(4000);
  EXPECT_GE(limit.Limit(), 16);
  EXPECT_LE(limit.Limit(), 64);
  EXPECT_LT(server.Now(), 1.3 * 4000 / 20);
}

TEST(InFlightLimit, RisesOnAServerThatBatches) {
  // As a GPU: a token takes 10 ms alone and 50 ms among 512.
  InFlightLimit limit(512);
  Server server(limit, [](int load) { return 0.1 * (1 + load / 128.0); });
  server.Run(20000);
  EXPECT_GE(limit.Limit(), 128);
}

TEST(InFlightLimit, FallsWhenTheServerHasTooMuch) {
  InFlightLimit limit(512);
  Server server(
      limit, [](int) { return 1.0; }, 100);
  server.Run(10000);
  EXPECT_GE(limit.Limit(), 40);
  EXPECT_LE(limit.Limit(), 128);
  EXPECT_LT(server.Refused(), 200);
}

TEST(InFlightLimit, StaysAsItIsIfItDoesNotAdapt) {
  InFlightLimit limit(64, /*adapts=*/false);
  EXPECT_EQ(limit.Limit(), 64);
  Server server(limit, [](int load) { return std::max(1.0, load / 20.0); });
  server.Run(1000);
  limit.OnOverload(limit.OnSend());
  EXPECT_EQ(limit.Limit(), 64);
}

TEST(InFlightLimit, ReachesOneIfNothingIsAnswered) {
  InFlightLimit limit(64);
  for (int i = 0; i < 20; ++i) limit.OnOverload(limit.OnSend());
  EXPECT_EQ(limit.Limit(), 1);
  // Requests sent before the limit fell say nothing new.
  InFlightLimit once(64);
  uint64_t numbers[8];
  for (uint64_t& number : numbers) number = once.OnSend();
  for (const uint64_t number : numbers) once.OnOverload(number);
  EXPECT_EQ(once.Limit(), 4);
}

}  // namespace
}  // namespace throng::llm
