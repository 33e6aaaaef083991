#include "base/memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <string_view>

namespace throng {
namespace {

// The number after a word of a file, such as "MemAvailable:".
std::optional<uint64_t> NumberAfter(const std::string& path, std::string_view wanted) {
  std::ifstream file(path);
  uint64_t number;
  for (std::string word; file >> word;) {
    if (word == wanted && file >> number) return number;
  }
  return std::nullopt;
}

}  // namespace

uint64_t AvailableBytes(const std::string& meminfo, const std::string& cgroup) {
  uint64_t bytes =
      static_cast<uint64_t>(sysconf(_SC_AVPHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  if (const auto kibibytes = NumberAfter(meminfo, "MemAvailable:")) bytes = *kibibytes * 1024;
  uint64_t limit, used;
  if (std::ifstream(cgroup + "/memory.max") >> limit && std::ifstream(cgroup + "/memory.current") >> used) {
    const std::string stat = cgroup + "/memory.stat";
    const uint64_t cached =
        NumberAfter(stat, "inactive_file").value_or(0) + NumberAfter(stat, "active_file").value_or(0);
    used -= std::min(used, cached);
    bytes = std::min(bytes, limit - std::min(limit, used));
  }
  return bytes;
}

uint64_t PeakResidentBytes(const std::string& status) {
  return NumberAfter(status, "VmHWM:").value_or(0) * 1024;
}

void ResetPeakResidentBytes() { std::ofstream("/proc/self/clear_refs") << 5; }

}  // namespace throng
