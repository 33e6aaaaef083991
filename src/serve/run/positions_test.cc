#include "serve/run/positions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace throng::serve {
namespace {

std::vector<int> Bytes(const std::string& packed) {
  std::vector<int> bytes;
  for (const char c : packed) bytes.push_back(static_cast<unsigned char>(c));
  return bytes;
}

// The same bytes as in tests/viewer/state.test.mjs, which reads them.
TEST(Positions, ArePackedAsTheViewerReadsThem) {
  const std::vector<journal::BodyRow> bodies = {
      {7, 1, 3, -3, "walk"}, {7, 3, 10, -10, "…"}, {207, 1, 4, -3, "walk"}};
  EXPECT_THAT(Bytes(PackPositions(5, 20, bodies)),
              testing::ElementsAre(5, 20, 2, 4, 119, 97, 108, 107, 3, 226, 128, 166, 2, 2, 1, 6, 5, 0, 1, 20,
                                   19, 1, 200, 1, 1, 1, 2, 0, 0));
}

TEST(Positions, OfNoChangesAreTheRange) {
  EXPECT_THAT(Bytes(PackPositions(1000, 1001, {})), testing::ElementsAre(0xE8, 7, 0xE9, 7, 0));
}

TEST(Positions, MayBeAnything) {
  constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  EXPECT_GT(PackPositions(0, 2, {{0, 0, kLeast, kMost, ""}, {1, 0, kMost, kLeast, ""}}).size(), 10u);
}

}  // namespace
}  // namespace throng::serve
