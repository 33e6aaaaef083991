// Which processors and whose memory this process may use. The files and folders are for tests.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace throng {

// How many threads can compute at once: one per core of the affinity mask, or fewer where the process's
// control groups or those above them grant less time (cpu.max, or cpu.cfs_quota_us of version 1): that time,
// rounded up. At least 1.
int UsableCores(const std::string& groups_of_process = "/proc/self/cgroup",
                const std::string& groups = "/sys/fs/cgroup");

// A part of the memory that is nearer to some cores than to others (NUMA).
struct MemoryNode {
  int id;
  int cores;  // of the affinity mask

  bool operator==(const MemoryNode&) const = default;
};

// The nodes that have memory and cores of the affinity mask, by id; empty where the system names none.
std::vector<MemoryNode> MemoryNodes(const std::string& folder = "/sys/devices/system/node");

// Lets the pages of a block come from these nodes in turn, so that the memory of each works when all threads
// read. The block begins at a page, whose content stays. Returns false, and changes nothing, for fewer than
// two nodes, where the user has set a policy for the process's memory (numactl), or if the system refuses.
bool SpreadOverNodes(void* block, size_t bytes, const std::vector<MemoryNode>& nodes);

}  // namespace throng
