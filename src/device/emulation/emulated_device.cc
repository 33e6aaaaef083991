#include "device/emulation/emulated_device.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <unordered_map>

#include "base/rng.h"
#include "device/kernels/all_kernels.h"

namespace throng::device {
namespace {

struct Kernel {
  int threads;
  size_t shared_bytes;
  void (*run)(const void* arguments);
};

template <typename K>
constexpr Kernel Make() {
  return {K::kThreads, K::kSharedBytes,
          [](const void* arguments) { K::Run(*static_cast<const typename K::Args*>(arguments)); }};
}

constexpr Kernel kKernels[] = {
#define THRONG_KERNEL(name, ...) Make<__VA_ARGS__>(),
    THRONG_KERNELS(THRONG_KERNEL)
#undef THRONG_KERNEL
};

class EmulatedDevice : public Device {
 public:
  explicit EmulatedDevice(emulation::Conduct conduct) : conduct_(std::move(conduct)) {}

  std::string Name() const override { return "emulated GPU"; }
  std::string Kind() const override { return Name(); }

  void* Allocate(size_t bytes) override {
    void* memory = nullptr;
    if (bytes > kMemoryBytes - used_) throw std::bad_alloc();
    if (posix_memalign(&memory, 256, bytes > 0 ? bytes : 1) != 0) throw std::bad_alloc();
    used_ += bytes;
    sizes_[memory] = bytes;
    CounterRng rng(conduct_.seed, 3);
    for (size_t i = 0; i < bytes; i += sizeof(uint64_t)) {
      const uint64_t chance = rng.Next();
      std::memcpy(static_cast<uint8_t*>(memory) + i, &chance, std::min(bytes - i, sizeof(chance)));
    }
    return memory;
  }
  void Free(void* memory) noexcept override {
    const auto found = sizes_.find(memory);
    used_ -= found->second;
    sizes_.erase(found);
    std::free(memory);
  }
  size_t FreeBytes() const override { return kMemoryBytes - used_; }
  void CopyTo(void* device, const void* host, size_t bytes) override { std::memcpy(device, host, bytes); }
  void CopyFrom(void* host, const void* device, size_t bytes) override { std::memcpy(host, device, bytes); }
  void Copy(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }

  void Launch(KernelId id, Index3 grid, const void* arguments) override {
    const Kernel& kernel = kKernels[static_cast<size_t>(id)];
    emulation::RunBlocks({grid, kernel.threads, kernel.shared_bytes, kernel.run, arguments}, conduct_);
  }
  void Wait() override {}
  std::unique_ptr<Graph> Capture(const LaunchList& list) override {
    return std::make_unique<KeptList>(*this, list);
  }

 private:
  class KeptList final : public Graph {
   public:
    KeptList(EmulatedDevice& device, const LaunchList& list) : device_(device), list_(list) {}
    void Launch() override { device_.Device::Launch(list_); }

   private:
    EmulatedDevice& device_;
    const LaunchList list_;
  };

  static constexpr size_t kMemoryBytes = size_t{256} << 20;  // all of it is filled with chance bytes

  const emulation::Conduct conduct_;
  size_t used_ = 0;
  std::unordered_map<void*, size_t> sizes_;  // of what is allocated
};

}  // namespace

std::unique_ptr<Device> MakeEmulatedDevice(emulation::Conduct conduct) {
  return std::make_unique<EmulatedDevice>(std::move(conduct));
}

}  // namespace throng::device
