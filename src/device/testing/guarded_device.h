// The emulated GPU with memory that this process cannot touch but through the device, as with a real one: a
// wrong access ends the test.
#pragma once

#include <sys/mman.h>

#include <array>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>

#include "base/check.h"
#include "base/rng.h"
#include "device/emulation/emulated_device.h"

namespace throng::device {

class GuardedDevice final : public Device {
 public:
  // memory_bytes: that it has in all; what is freed does not come back.
  explicit GuardedDevice(uint64_t seed = 1, size_t memory_bytes = size_t{32} << 20)
      : emulated_(MakeEmulatedDevice({.seed = seed})), seed_(seed), bytes_(memory_bytes) {
    void* memory = mmap(nullptr, bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    THRONG_CHECK(memory != MAP_FAILED);
    memory_ = static_cast<uint8_t*>(memory);
    madvise(memory_, bytes_, MADV_HUGEPAGE);  // fewer pages to protect
  }
  ~GuardedDevice() override { munmap(memory_, bytes_); }

  std::string Name() const override { return emulated_->Name(); }
  std::string Kind() const override { return emulated_->Kind(); }
  void* Allocate(size_t bytes) override {
    const Access access(*this);
    const size_t aligned = (bytes + 255) / 256 * 256;
    if (aligned > bytes_ - used_) throw std::bad_alloc();
    uint8_t* const memory = memory_ + used_;
    used_ += aligned;
    CounterRng rng(seed_, 4);
    for (size_t i = 0; i < aligned; i += sizeof(uint64_t)) {
      const uint64_t chance = rng.Next();
      std::memcpy(memory + i, &chance, sizeof(chance));
    }
    return memory;
  }
  void Free(void*) noexcept override {}
  size_t FreeBytes() const override { return bytes_ - used_; }
  void CopyTo(void* device, const void* host, size_t bytes) override { Move(device, host, bytes); }
  void CopyFrom(void* host, const void* device, size_t bytes) override { Move(host, device, bytes); }
  void Copy(void* to, const void* from, size_t bytes) override { Move(to, from, bytes); }
  void Launch(KernelId kernel, Index3 grid, const void* arguments) override {
    const Access access(*this);
    ++launches_[static_cast<size_t>(kernel)];
    emulated_->Launch(kernel, grid, arguments);
  }
  // How often a kernel was launched, but in graphs.
  int Launches(KernelId kernel) const { return launches_[static_cast<size_t>(kernel)]; }
  void Wait() override {}
  std::unique_ptr<Graph> Capture(const LaunchList& list) override {
    return std::make_unique<GuardedGraph>(*this, emulated_->Capture(list));
  }

 private:
  class GuardedGraph final : public Graph {
   public:
    GuardedGraph(GuardedDevice& device, std::unique_ptr<Graph> graph)
        : device_(device), graph_(std::move(graph)) {}
    void Launch() override {
      const Access access(device_);
      graph_->Launch();
    }

   private:
    GuardedDevice& device_;
    const std::unique_ptr<Graph> graph_;
  };
  class Access {
   public:
    explicit Access(GuardedDevice& device) : device_(device), lock_(device.mutex_) {
      Protect(PROT_READ | PROT_WRITE);
    }
    ~Access() { Protect(PROT_NONE); }
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;

   private:
    void Protect(int what) { THRONG_CHECK(mprotect(device_.memory_, device_.bytes_, what) == 0); }
    GuardedDevice& device_;
    std::lock_guard<std::mutex> lock_;
  };

  void Move(void* to, const void* from, size_t bytes) {
    const Access access(*this);
    std::memcpy(to, from, bytes);
  }

  const std::unique_ptr<Device> emulated_;
  const uint64_t seed_;
  const size_t bytes_;
  uint8_t* memory_;
  size_t used_ = 0;
  std::array<int, kNumKernels> launches_{};
  std::mutex mutex_;
};

}  // namespace throng::device
