#include "device/launch_list.h"

#include <cstring>

#include "device/kernels/all_kernels.h"

namespace throng::device {
namespace {

constexpr size_t kArgumentBytes[] = {
#define THRONG_ARGUMENT_BYTES(name, ...) sizeof(__VA_ARGS__::Args),
    THRONG_KERNELS(THRONG_ARGUMENT_BYTES)
#undef THRONG_ARGUMENT_BYTES
};

}  // namespace

void LaunchList::Append(const Step& step, const void* arguments, size_t bytes) {
  const size_t at = bytes_.size();
  bytes_.resize(at + sizeof(step) + bytes);
  std::memcpy(bytes_.data() + at, &step, sizeof(step));
  std::memcpy(bytes_.data() + at + sizeof(step), arguments, bytes);
  ++count_;
}

void LaunchList::Launch(KernelId kernel, Index3 grid, const void* arguments) {
  const auto id = static_cast<int32_t>(kernel);
  Append({id, grid}, arguments, kArgumentBytes[static_cast<size_t>(id)]);
}

void LaunchList::Copy(void* to, const void* from, size_t bytes) {
  const CopyArgs arguments{to, from, bytes};
  Append({kNumKernels, {}}, &arguments, sizeof(arguments));
}

void LaunchList::Clear() {
  bytes_.clear();
  count_ = 0;
}

void LaunchList::ForEach(const std::function<void(KernelId, Index3, const void*)>& launch,
                         const std::function<void(void*, const void*, size_t)>& copy) const {
  alignas(std::max_align_t) uint8_t arguments[512];
  for (size_t at = 0; at < bytes_.size();) {
    Step step;
    std::memcpy(&step, bytes_.data() + at, sizeof(step));
    at += sizeof(step);
    const bool copies = step.kernel == kNumKernels;
    const size_t bytes = copies ? sizeof(CopyArgs) : kArgumentBytes[static_cast<size_t>(step.kernel)];
    std::memcpy(arguments, bytes_.data() + at, bytes);
    at += bytes;
    if (!copies) {
      launch(static_cast<KernelId>(step.kernel), step.grid, arguments);
      continue;
    }
    CopyArgs of_copy;
    std::memcpy(&of_copy, arguments, sizeof(of_copy));
    copy(of_copy.to, of_copy.from, of_copy.bytes);
  }
}

}  // namespace throng::device
