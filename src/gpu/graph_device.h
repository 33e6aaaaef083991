// A device whose launches are gathered until something waits for them; those that have come before run as one
// captured graph.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "device/device.h"

namespace throng::gpu {

// The steps of a batch that decodes launch the same kernels with the same arguments, as buffers stay where
// they are, until the batch or the number of splits changes. Lists are compared by what is in them, so
// nothing needs to say that a step has changed.
class GraphDevice final : public device::Device {
 public:
  explicit GraphDevice(device::Device& device) : device_(device) {}

  std::string Name() const override { return device_.Name(); }
  std::string Kind() const override { return device_.Kind(); }
  void* Allocate(size_t bytes) override { return device_.Allocate(bytes); }
  void Free(void* memory) noexcept override;
  size_t FreeBytes() const override { return device_.FreeBytes(); }
  void CopyTo(void* device, const void* host, size_t bytes) override;
  void CopyFrom(void* host, const void* device, size_t bytes) override;
  void Copy(void* to, const void* from, size_t bytes) override { list_.Copy(to, from, bytes); }
  void Launch(device::KernelId kernel, device::Index3 grid, const void* arguments) override {
    list_.Launch(kernel, grid, arguments);
  }
  void Wait() override;
  std::unique_ptr<Graph> Capture(const device::LaunchList& list) override { return device_.Capture(list); }

  // Forgets what has been gathered: the pass that it is of has failed.
  void Discard() { list_.Clear(); }

  int Captures() const { return captures_; }  // graphs made so far
  int Replays() const { return replays_; }    // and their launches

 private:
  struct Known {
    std::unique_ptr<Graph> graph;  // null: it came once
    uint64_t last_used;
  };

  void Flush();
  void ForgetOldest();

  device::Device& device_;
  device::LaunchList list_;
  std::unordered_map<std::string, Known> known_;  // by LaunchList::Bytes
  uint64_t flushes_ = 0;
  int captures_ = 0, replays_ = 0;
};

}  // namespace throng::gpu
