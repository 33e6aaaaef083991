#include "device/cuda/kernels.h"

namespace throng::device {

const CudaKernel& FindCudaKernel(KernelId id) {
  auto index = static_cast<size_t>(id);
  for (const auto group : {SealKernels(), DecodeKernels(), GearDecodeKernels(), PrefillKernels(),
                           RotPrefillKernels(), GearPrefillKernels()}) {
    if (index < group.size()) return group[index];
    index -= group.size();
  }
  return ModelKernels()[index];
}

}  // namespace throng::device
