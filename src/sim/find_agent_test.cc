#include "sim/find_agent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace throng::sim {
namespace {

using ::testing::HasSubstr;

const std::vector<NamedAgent> kAgents = {{0, "Ada"}, {1, "Ben"}, {2, "Ada"}, {3, "1"}, {5, "Eve"}};

std::string Refusal(const std::string& wanted) {
  try {
    FindAgent("--agent", wanted, kAgents);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(FindAgentTest, FindsByNameAndByNumber) {
  EXPECT_EQ(FindAgent("--agent", "Ben", kAgents), 1u);
  EXPECT_EQ(FindAgent("--agent", "0", kAgents), 0u);
  EXPECT_EQ(FindAgent("--agent", "2", kAgents), 2u);
  EXPECT_EQ(FindAgent("--agent", "1", kAgents), 3u);  // a name
  EXPECT_EQ(FindAgent("--agent", "5", kAgents), 5u);
}

TEST(FindAgentTest, SaysWhoIsAllowed) {
  EXPECT_THAT(Refusal("Ada"),
              HasSubstr("--agent Ada: 2 agents have this name, allowed: a number of theirs: 0, 2"));
  for (const char* wanted : {"Cid", "4", "-1", ""})
    EXPECT_THAT(Refusal(wanted),
                HasSubstr("there is nobody of this name, allowed: Ada, Ben, Ada, 1, Eve, or a number"));
}

}  // namespace
}  // namespace throng::sim
