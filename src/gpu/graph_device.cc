#include "gpu/graph_device.h"

#include <algorithm>

namespace throng::gpu {
namespace {

constexpr int kLeastLaunches = 4;  // that a graph saves time for
constexpr size_t kMostKnown = 64;  // lists

}  // namespace

// Captures what comes for the second time: a prompt's passes hardly ever do, and capturing takes longer than
// launching.
void GraphDevice::Flush() {
  if (list_.Count() == 0) return;
  const device::LaunchList list = std::move(list_);
  list_.Clear();
  ++flushes_;
  if (list.Count() < kLeastLaunches) return device_.Launch(list);
  const auto [at, is_new] = known_.try_emplace(std::string(list.Bytes()));
  Known& known = at->second;
  known.last_used = flushes_;
  if (is_new) {
    device_.Launch(list);
    ForgetOldest();
    return;
  }
  if (known.graph == nullptr) {
    known.graph = device_.Capture(list);
    ++captures_;
  }
  known.graph->Launch();
  ++replays_;
}

void GraphDevice::ForgetOldest() {
  if (known_.size() <= kMostKnown) return;
  const auto oldest =
      std::ranges::min_element(known_, {}, [](const auto& known) { return known.second.last_used; });
  device_.Wait();  // its graph may still run
  known_.erase(oldest);
}

void GraphDevice::Free(void* memory) noexcept {
  Flush();
  device_.Free(memory);
}

void GraphDevice::CopyTo(void* device, const void* host, size_t bytes) {
  Flush();
  device_.CopyTo(device, host, bytes);
}

void GraphDevice::CopyFrom(void* host, const void* device, size_t bytes) {
  Flush();
  device_.CopyFrom(host, device, bytes);
}

void GraphDevice::Wait() {
  Flush();
  device_.Wait();
}

}  // namespace throng::gpu
