#include "device/cuda/entry.cuh"

namespace throng::device {

std::span<const CudaKernel> DecodeKernels() {
  static const CudaKernel kernels[] = {THRONG_DECODE_KERNELS(THRONG_MAKE_KERNEL)};
  return kernels;
}

}  // namespace throng::device
