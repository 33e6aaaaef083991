#include "base/memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

namespace throng {

uint64_t AvailableBytes() {
  uint64_t bytes =
      static_cast<uint64_t>(sysconf(_SC_AVPHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  std::ifstream meminfo("/proc/meminfo");
  for (std::string word; meminfo >> word;) {
    uint64_t kibibytes;
    if (word == "MemAvailable:" && meminfo >> kibibytes) bytes = kibibytes * 1024;
  }
  // A container may have less than the machine.
  uint64_t limit, used;
  if (std::ifstream("/sys/fs/cgroup/memory.max") >> limit &&
      std::ifstream("/sys/fs/cgroup/memory.current") >> used) {
    bytes = std::min(bytes, limit - std::min(limit, used));
  }
  return bytes;
}

}  // namespace throng
