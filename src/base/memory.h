// How much memory there is.
#pragma once

#include <cstdint>
#include <string>

namespace throng {

// Bytes that can be taken without swapping, by the system's account and by the limit of this process's
// container, where cached pages of files count as free: the system drops them when memory is wanted. The
// files are for tests.
uint64_t AvailableBytes(const std::string& meminfo = "/proc/meminfo",
                        const std::string& cgroup = "/sys/fs/cgroup");

// The most memory that this process has had resident since ResetPeakResidentBytes or its start, mapped files
// included; 0 where the system does not say. Not every system can reset it.
uint64_t PeakResidentBytes(const std::string& status = "/proc/self/status");
void ResetPeakResidentBytes();

}  // namespace throng
