#include "base/provenance.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <fstream>
#include <thread>

#include "base/text/trim.h"

namespace throng {

namespace {

std::string ProcessorName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    const size_t colon = line.find(':');
    if (colon != std::string::npos) return std::string(Trimmed(std::string_view(line).substr(colon + 1)));
  }
  return "an unknown processor";
}

}  // namespace

std::string SourceCommit() {
  return
#include "source_commit.inc"
      ;
}

std::string DescribeMachine() {
  utsname system{};
  uname(&system);
  return fmt::format("{}, {} threads, {} {} {}", ProcessorName(), std::thread::hardware_concurrency(),
                     system.sysname, system.release, system.machine);
}

}  // namespace throng
