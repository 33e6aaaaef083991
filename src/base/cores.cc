#include "base/cores.h"

#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <thread>

namespace throng {
namespace {

namespace fs = std::filesystem;

// Of the calling thread.
class AffinityMask {
 public:
  AffinityMask() { known_ = sched_getaffinity(0, sizeof(cores_), &cores_) == 0; }

  int Count() const {
    if (known_) return CPU_COUNT(&cores_);
    // More cores than the set has room for.
    return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  }
  bool Has(int core) const { return !known_ || CPU_ISSET(static_cast<size_t>(core), &cores_); }

 private:
  cpu_set_t cores_;
  bool known_;
};

// Cores' worth of time that a control group grants; infinity if it has no limit.
double CoresOfGroup(const fs::path& group) {
  double quota, period;  // "max", or -1 in version 1, is no limit
  const auto limits = [&] { return quota > 0 && period > 0; };
  if (std::ifstream(group / "cpu.max") >> quota >> period && limits()) return quota / period;
  if (std::ifstream(group / "cpu.cfs_quota_us") >> quota &&
      std::ifstream(group / "cpu.cfs_period_us") >> period && limits()) {
    return quota / period;
  }
  return std::numeric_limits<double>::infinity();
}

// The least that the group and those above it grant. Within a container, the folders above its own, or all of
// them, may be missing.
double CoresOfGroups(const fs::path& root, const std::string& group) {
  double cores = CoresOfGroup(root);
  fs::path folder = root;
  for (const fs::path& name : fs::path(group).relative_path()) {
    folder /= name;
    cores = std::min(cores, CoresOfGroup(folder));
  }
  return cores;
}

// "0-2,8": calls use(0), use(1), use(2), use(8).
template <typename Use>
void ForListed(const fs::path& file, const Use& use) {
  std::ifstream list(file);
  for (int first; list >> first;) {
    int last = first;
    if (list.peek() == '-') {
      list.get();
      list >> last;
    }
    for (int i = first; i <= last; ++i) use(i);
    if (list.get() != ',') return;
  }
}

}  // namespace

int UsableCores(const std::string& groups_of_process, const std::string& groups) {
  double cores = AffinityMask().Count();
  std::ifstream file(groups_of_process);
  for (std::string line; std::getline(file, line);) {
    // "0::/group" in version 2, "4:cpu,cpuacct:/group" in version 1, each with a hierarchy of its own.
    std::istringstream fields(line);
    std::string number, controllers, group;
    std::getline(std::getline(std::getline(fields, number, ':'), controllers, ':'), group);
    if (number == "0") {
      for (const char* root : {"", "unified"})
        cores = std::min(cores, CoresOfGroups(fs::path(groups) / root, group));
    } else if (("," + controllers + ",").find(",cpu,") != std::string::npos) {
      for (const std::string& root : {controllers, std::string("cpu")}) {
        cores = std::min(cores, CoresOfGroups(fs::path(groups) / root, group));
      }
    }
  }
  return std::max(1, static_cast<int>(std::ceil(cores)));
}

std::vector<MemoryNode> MemoryNodes(const std::string& folder) {
  const AffinityMask mask;
  std::vector<MemoryNode> nodes;
  ForListed(fs::path(folder) / "has_memory", [&](int id) {
    MemoryNode node{id, 0};
    ForListed(fs::path(folder) / ("node" + std::to_string(id)) / "cpulist",
              [&](int core) { node.cores += mask.Has(core) ? 1 : 0; });
    if (node.cores > 0) nodes.push_back(node);
  });
  return nodes;
}

bool SpreadOverNodes(void* block, size_t bytes, const std::vector<MemoryNode>& nodes) {
  if (nodes.size() < 2) return false;
  int policy;
  if (syscall(SYS_get_mempolicy, &policy, nullptr, 0, nullptr, 0) != 0 || policy != MPOL_DEFAULT)
    return false;
  constexpr size_t kBits = 8 * sizeof(unsigned long);
  std::vector<unsigned long> set(static_cast<size_t>(nodes.back().id) / kBits + 1);
  for (const MemoryNode& node : nodes) {
    const auto id = static_cast<size_t>(node.id);
    set[id / kBits] |= 1ul << id % kBits;
  }
  // The kernel counts one bit fewer than it is told. Pages that the allocator had used before move.
  return syscall(SYS_mbind, block, bytes, MPOL_INTERLEAVE, set.data(), set.size() * kBits + 1,
                 MPOL_MF_MOVE) == 0;
}

}  // namespace throng
