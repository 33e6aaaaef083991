#include "workers/process_link.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"

namespace throng::workers {
namespace {

// The workers are seats of the test.
class ProcessLinkTest : public testing::Test {
 protected:
  int Start() {
    int sockets[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    seats.push_back(std::make_unique<ProcessSeat>(sockets[1]));
    return sockets[0];
  }
  ProcessLink MakeLink(int count) {
    return {count, "job", [this] { return Start(); }};
  }

  static std::vector<ToWorker> Get(Seat& seat) {
    std::vector<ToWorker> got;
    seat.Receive(got, 0);
    return got;
  }
  static std::vector<Arrival> Get(Link& link) {
    std::vector<Arrival> arrived;
    link.Receive(arrived, 0);
    return arrived;
  }

  std::vector<std::unique_ptr<ProcessSeat>> seats;
};

TEST_F(ProcessLinkTest, GivesWorkToWhoHasLeast) {
  ProcessLink link = MakeLink(2);
  for (uint64_t step = 1; step <= 4; ++step)
    link.Post({ToWorker::Kind::kBegin, step, 0, std::string(1 << 20, 'x')});
  std::vector<size_t> num_got = {0, 0};
  // A socket takes less than a message at a time.
  while (num_got[0] + num_got[1] < 6) {
    EXPECT_TRUE(Get(link).empty());
    for (size_t i = 0; i < 2; ++i) num_got[i] += Get(*seats[i]).size();
  }
  EXPECT_EQ(num_got, (std::vector<size_t>{3, 3}));  // a job and two steps each
  seats[1]->Send({FromWorker::Kind::kLast, 2, 0, "done"});
  const std::vector<Arrival> arrived = Get(link);
  ASSERT_EQ(arrived.size(), 1u);
  EXPECT_EQ(arrived[0].worker, "2");
  EXPECT_EQ(arrived[0].message.text, "done");
  EXPECT_EQ(link.Post({ToWorker::Kind::kBegin, 5, 0, {}}), "2");
}

TEST_F(ProcessLinkTest, ReplacesWhoIsLostAndSaysAtWhat) {
  ProcessLink link = MakeLink(1);
  seats[0]->Send({FromWorker::Kind::kReady, 0, 0, {}});
  link.Post({ToWorker::Kind::kBegin, 8, 0, {}});
  link.Post({ToWorker::Kind::kBegin, 9, 0, {}});
  EXPECT_EQ(Get(link).size(), 1u);
  seats[0] = nullptr;
  const std::vector<Arrival> arrived = Get(link);
  ASSERT_EQ(arrived.size(), 1u);
  EXPECT_EQ(arrived[0].kind, Arrival::Kind::kLost);
  EXPECT_EQ(arrived[0].message.step, 8u);
  ASSERT_EQ(seats.size(), 2u);
  EXPECT_EQ(link.Post({ToWorker::Kind::kBegin, 8, 0, {}}), "2");
}

TEST_F(ProcessLinkTest, GivesUpOnWorkersThatNeverAreReady) {
  ProcessLink link = MakeLink(1);
  seats[0] = nullptr;
  EXPECT_THROW(Get(link), Error);
}

TEST_F(ProcessLinkTest, TheEndOfTheRunEndsTheWorker) {
  {
    ProcessLink link = MakeLink(1);
    Get(link);
  }
  std::vector<ToWorker> got;
  EXPECT_FALSE(seats[0]->Receive(got, 0));
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].text, "job");
}

}  // namespace
}  // namespace throng::workers
