#include "device/cuda/entry.cuh"

namespace throng::device {

std::span<const CudaKernel> GearPrefillKernels() {
  static const CudaKernel kernels[] = {THRONG_GEAR_PREFILL_KERNELS(THRONG_MAKE_KERNEL)};
  return kernels;
}

}  // namespace throng::device
