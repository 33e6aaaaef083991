#include "sim/space/network.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/error.h"

namespace throng::sim {
namespace {

using Follows = std::vector<std::vector<NodeId>>;

TEST(Network, HopsGoAlongWhatIsFollowed) {
  const Network network({{1, 1, 0}, {2}, {0}, {}});
  EXPECT_EQ(network.Follows(0).size(), 1u);
  EXPECT_EQ(network.Within(0, 0), (std::vector<NodeId>{0}));
  EXPECT_EQ(network.Within(0, 1), (std::vector<NodeId>{0, 1}));
  EXPECT_EQ(network.Within(1, 100), (std::vector<NodeId>{0, 1, 2}));
  EXPECT_TRUE(network.IsWithin(0, 2, 2));
  EXPECT_FALSE(network.IsWithin(0, 2, 1));
  EXPECT_FALSE(network.IsWithin(2, 1, 1));
  EXPECT_FALSE(network.IsWithin(0, 3, 9));
  EXPECT_THROW(Network({{2}, {}}), Error);
  EXPECT_THROW(Network(Follows{}), Error);
}

}  // namespace
}  // namespace throng::sim
