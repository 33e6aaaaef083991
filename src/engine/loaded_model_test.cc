#include "engine/loaded_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "base/error.h"
#include "model/testing/tiny_model.h"

namespace throng::engine {
namespace {

TEST(ShouldRepack, CopiesIfThereIsRoomBesideTheCaches) {
  const std::vector<uint8_t> bytes = model::TinyModel{}.Bytes();
  const model::GgufFile file(bytes, "tiny");
  const uint64_t all = std::numeric_limits<uint64_t>::max();
  EXPECT_TRUE(ShouldRepack("auto", file));
  EXPECT_FALSE(ShouldRepack("auto", file, all));
  EXPECT_FALSE(ShouldRepack("auto", file, 0, 100));
  EXPECT_TRUE(ShouldRepack("on", file, all));
  EXPECT_FALSE(ShouldRepack("off", file));
  EXPECT_THROW(ShouldRepack("always", file), Error);
}

// Not the caches' budget, of which the copy would leave nothing.
TEST(ShouldRepack, NamesTheCopyThatHasNoRoom) {
  const std::vector<uint8_t> bytes = model::TinyModel{}.Bytes();
  const model::GgufFile file(bytes, "tiny");
  try {
    ShouldRepack("on", file, 0, 2000);
    FAIL() << "was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.Code(), ErrorCode::kExhausted);
    EXPECT_THAT(
        error.what(),
        testing::MatchesRegex(
            ".*repack on copies .* of weights, and 2.0 kB of memory are free: .*repack auto or off.*"));
  }
  EXPECT_FALSE(ShouldRepack("off", file, 0, 2000));
}

}  // namespace
}  // namespace throng::engine
