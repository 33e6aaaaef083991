#include "device/cuda/entry.cuh"

namespace throng::device {

std::span<const CudaKernel> PrefillKernels() {
  static const CudaKernel kernels[] = {THRONG_PREFILL_KERNELS(THRONG_MAKE_KERNEL)};
  return kernels;
}

}  // namespace throng::device
