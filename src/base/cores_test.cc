#include "base/cores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "base/huge_pages.h"

namespace throng {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class CoresTest : public testing::Test {
 protected:
  CoresTest() { std::filesystem::remove_all(folder_); }
  ~CoresTest() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = folder_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  int Cores() const { return UsableCores(folder_ / "self", folder_); }

  const std::filesystem::path folder_ = std::filesystem::path(testing::TempDir()) / "throng_cores_test";
};

int CoresOfMask() {
  cpu_set_t cores;
  return sched_getaffinity(0, sizeof(cores), &cores) == 0 ? CPU_COUNT(&cores) : 0;
}

TEST_F(CoresTest, WithoutGroupsAreThoseOfTheAffinityMask) {
  EXPECT_EQ(Cores(), CoresOfMask());
  std::thread([&] {  // whose cores are its own
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(static_cast<size_t>(sched_getcpu()), &cores);
    ASSERT_EQ(sched_setaffinity(0, sizeof(cores), &cores), 0);
    EXPECT_EQ(Cores(), 1);
  })
      .join();
}

TEST_F(CoresTest, AreNoMoreThanAGroupGrants) {
  Write("self", "0::/pods/a\n");
  Write("pods/a/cpu.max", "max 100000\n");
  EXPECT_EQ(Cores(), CoresOfMask());
  Write("pods/a/cpu.max", "50000 100000\n");
  EXPECT_EQ(Cores(), 1);
  Write("pods/a/cpu.max", "110000 100000\n");  // rounded up: two threads use all of it
  EXPECT_EQ(Cores(), std::min(2, CoresOfMask()));
  Write("pods/cpu.max", "20000 100000\n");  // a group above it
  EXPECT_EQ(Cores(), 1);
}

TEST_F(CoresTest, OfAContainerAreInTheRoot) {
  Write("self", "0::/\n");
  Write("cpu.max", "10000 100000\n");
  EXPECT_EQ(Cores(), 1);
  // A path of the host, which the container does not see.
  Write("self", "0::/docker/1a3d\n");
  EXPECT_EQ(Cores(), 1);
}

TEST_F(CoresTest, AreNoMoreThanAGroupOfVersion1Grants) {
  Write("self", "5:memory:/a\n4:cpu,cpuacct:/docker/a\n3:cpuset:/b\n0::/\n");
  Write("cpu,cpuacct/docker/a/cpu.cfs_quota_us", "-1\n");
  Write("cpu,cpuacct/docker/a/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Cores(), CoresOfMask());
  Write("cpu,cpuacct/docker/a/cpu.cfs_quota_us", "90000\n");
  EXPECT_EQ(Cores(), 1);
  // Another group's limit is nothing to us.
  Write("self", "4:cpu,cpuacct:/docker/b\n");
  EXPECT_EQ(Cores(), CoresOfMask());
}

TEST_F(CoresTest, NodesAreThoseWithMemoryAndCores) {
  EXPECT_THAT(MemoryNodes(folder_), IsEmpty());
  const int core = sched_getcpu();
  std::thread([&] {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(static_cast<size_t>(core), &cores);
    ASSERT_EQ(sched_setaffinity(0, sizeof(cores), &cores), 0);
    const std::string before = core > 0 ? "0-" + std::to_string(core) : "0";
    Write("has_memory", "0-1,3\n");
    Write("node0/cpulist", before + ",1000-1001\n");
    Write("node1/cpulist", "1002\n");  // none of ours
    Write("node2/cpulist", before + "\n");
    Write("node3/cpulist", "1003," + std::to_string(core) + "\n");
    EXPECT_THAT(MemoryNodes(folder_), ElementsAre(MemoryNode{0, 1}, MemoryNode{3, 1}));
    Write("node0/cpulist", "\n");  // memory alone
    EXPECT_THAT(MemoryNodes(folder_), ElementsAre(MemoryNode{3, 1}));
  }).join();
}

TEST(SpreadOverNodes, SetsThePolicyOfTheBlock) {
  constexpr size_t kBytes = 2 * kHugePage;
  void* block = AllocateHuge(kBytes);
  *static_cast<char*>(block) = 'a';
  EXPECT_FALSE(SpreadOverNodes(block, kBytes, {{0, 2}}));
  int policy = -1;
  if (syscall(SYS_get_mempolicy, &policy, nullptr, 0, nullptr, 0) != 0 || policy != MPOL_DEFAULT) {
    FreeHuge(block, kBytes);
    GTEST_SKIP() << "the system has no policies for memory, or one for this process";
  }
  // The system passes over nodes that it lacks.
  EXPECT_TRUE(SpreadOverNodes(block, kBytes, {{0, 1}, {1, 1}}));
  ASSERT_EQ(syscall(SYS_get_mempolicy, &policy, nullptr, 0, block, MPOL_F_ADDR), 0);
  EXPECT_EQ(policy, MPOL_INTERLEAVE);
  EXPECT_EQ(*static_cast<char*>(block), 'a');
  FreeHuge(block, kBytes);
}

}  // namespace
}  // namespace throng
