#include "engine/loaded_model.h"

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
  EXPECT_TRUE(ShouldRepack("on", file, all));
  EXPECT_FALSE(ShouldRepack("off", file));
  EXPECT_THROW(ShouldRepack("always", file), Error);
}

}  // namespace
}  // namespace throng::engine
