// All memory that a model takes of a device: one allocation, with an account of what it is used for.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "device/device.h"
#include "gpu/free_ranges.h"

namespace throng::gpu {

enum class MemoryUse { kWeights, kCaches, kPasses };  // kPasses: what a forward pass computes with

// The device, but its memory is the arena's.
class Arena final : public device::Device {
 public:
  // budget_bytes: 0: 15 of 16 of those that are free. Throws kExhausted if the device has not so many.
  explicit Arena(std::shared_ptr<device::Device> device, size_t budget_bytes = 0);
  ~Arena() override;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // What is allocated from here on is for `use`. At the start: kWeights.
  void CountAs(MemoryUse use) { use_ = use; }
  size_t BudgetBytes() const { return budget_bytes_; }
  size_t TakenBytes(MemoryUse use) const { return taken_[static_cast<size_t>(use)]; }
  size_t FreeBytes() const override { return free_.Bytes(); }
  // By how much the device's free memory has fallen since the arena has its own: what CUDA takes itself, for
  // graphs and for code of kernels that is loaded at its first launch, and what other programs take.
  size_t OutsideBytes() const;
  // "2.0 GB of 40.0 GB are left; weights take 16.0 GB, caches 20.0 GB, passes 2.0 GB; outside of these 0.1 GB
  // are taken"
  std::string Ledger() const;

  std::string Name() const override { return device_->Name(); }
  std::string Kind() const override { return device_->Kind(); }
  void* Allocate(size_t bytes) override;
  void Free(void* memory) noexcept override;
  void CopyTo(void* to, const void* host, size_t bytes) override { device_->CopyTo(to, host, bytes); }
  void CopyFrom(void* host, const void* from, size_t bytes) override { device_->CopyFrom(host, from, bytes); }
  void Copy(void* to, const void* from, size_t bytes) override { device_->Copy(to, from, bytes); }
  void Launch(device::KernelId kernel, device::Index3 grid, const void* arguments) override {
    device_->Launch(kernel, grid, arguments);
  }
  void Wait() override { device_->Wait(); }
  std::unique_ptr<Graph> Capture(const device::LaunchList& list) override { return device_->Capture(list); }

 private:
  struct Taken {
    size_t bytes;
    MemoryUse use;
  };

  const std::shared_ptr<device::Device> device_;
  const size_t budget_bytes_;
  uint8_t* const memory_;
  const size_t free_outside_;  // bytes, at the start
  FreeRanges free_;
  MemoryUse use_ = MemoryUse::kWeights;
  std::unordered_map<const void*, Taken> allocations_;
  std::array<size_t, 3> taken_{};  // by use
};

}  // namespace throng::gpu
