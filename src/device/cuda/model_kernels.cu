#include "device/cuda/entry.cuh"

namespace throng::device {

std::span<const CudaKernel> ModelKernels() {
  static const CudaKernel kernels[] = {THRONG_MODEL_KERNELS(THRONG_MAKE_KERNEL)};
  return kernels;
}

}  // namespace throng::device
