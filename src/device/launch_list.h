// Launches and copies within a device, kept for later.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "device/kernels/kernel_list.h"
#include "device/types.h"

namespace throng::device {

class LaunchList {
 public:
  // As of Device. Keeps a copy of the arguments.
  void Launch(KernelId kernel, Index3 grid, const void* arguments);
  void Copy(void* to, const void* from, size_t bytes);
  void Clear();

  int Count() const { return count_; }
  // Two lists do the same if these are the same: arguments have no padding.
  std::string_view Bytes() const { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }

  // Visits all of them in order.
  void ForEach(const std::function<void(KernelId, Index3 grid, const void* arguments)>& launch,
               const std::function<void(void* to, const void* from, size_t bytes)>& copy) const;

 private:
  struct Step {
    int32_t kernel;  // kNumKernels: a copy
    Index3 grid;
  };
  struct CopyArgs {
    void* to;
    const void* from;
    size_t bytes;
  };

  void Append(const Step& step, const void* arguments, size_t bytes);

  std::vector<uint8_t> bytes_;  // of each step: Step, arguments
  int count_ = 0;
};

}  // namespace throng::device
