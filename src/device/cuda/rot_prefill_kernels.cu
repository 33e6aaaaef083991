#include "device/cuda/entry.cuh"

namespace throng::device {

std::span<const CudaKernel> RotPrefillKernels() {
  static const CudaKernel kernels[] = {THRONG_ROT_PREFILL_KERNELS(THRONG_MAKE_KERNEL)};
  return kernels;
}

}  // namespace throng::device
