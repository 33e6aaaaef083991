#include "device/cuda/entry.cuh"

namespace throng::device {

std::span<const CudaKernel> SealKernels() {
  static const CudaKernel kernels[] = {THRONG_SEAL_KERNELS(THRONG_MAKE_KERNEL)};
  return kernels;
}

}  // namespace throng::device
