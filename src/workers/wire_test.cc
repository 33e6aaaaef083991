#include "workers/wire.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "workers/message.h"
#include "workers/redis.h"

namespace throng::workers {
namespace {

TEST(WireTest, ReadsWhatWasWritten) {
  const ToWorker written = {ToWorker::Kind::kReply, 7, 3, std::string("a\0b", 3)};
  const auto read = Decode<ToWorker>(Encode(written));
  EXPECT_EQ(read.kind, written.kind);
  EXPECT_EQ(read.step, 7u);
  EXPECT_EQ(read.turn, 3u);
  EXPECT_EQ(read.text, written.text);
}

TEST(WireTest, RefusesWhatIsCutShort) {
  const std::string whole = Encode(FromWorker{FromWorker::Kind::kTurn, 1, 2, "text"});
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW(Decode<FromWorker>(whole.substr(0, size)), Error) << size;
  }
  std::string huge = whole;
  huge[13] = '\x7f';  // of the length of the text
  EXPECT_THROW(Decode<FromWorker>(huge), Error);
}

TEST(RedisAddressTest, ReadsAllItsParts) {
  const RedisAddress address =
      RedisAddress::Parse("redis://me:p@ss@10.0.0.1:7000/town?lost_after=2.5&away=60");
  EXPECT_EQ(address.user, "me");
  EXPECT_EQ(address.password, "p@ss");
  EXPECT_EQ(address.host, "10.0.0.1");
  EXPECT_EQ(address.port, 7000);
  EXPECT_EQ(address.name, "town");
  EXPECT_EQ(address.lost_after_s, 2.5);
  EXPECT_EQ(address.away_s, 60);
  EXPECT_EQ(address.Where(), "redis://10.0.0.1:7000/town");
  EXPECT_EQ(RedisAddress::Parse("redis://host/a-b_c.1").port, 6379);
}

TEST(RedisAddressTest, RefusesOthers) {
  for (const char* const wrong :
       {"http://host/a", "redis://", "redis://host", "redis:///a", "redis://host:70000/a", "redis://host/a*",
        "redis://host/a?x=1", "redis://host/a?away="}) {
    EXPECT_THROW(RedisAddress::Parse(wrong), Error) << wrong;
  }
}

}  // namespace
}  // namespace throng::workers
