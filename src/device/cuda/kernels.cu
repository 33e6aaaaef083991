#include "device/cuda/kernels.h"
#include "device/kernels/all_kernels.h"

namespace throng::device {
namespace {

template <typename K>
__global__ void __launch_bounds__(K::kThreads, K::kBlocks)
    Enter(const __grid_constant__ typename K::Args args) {
  K::Run(args);
}

template <typename K>
CudaKernel Make() {
  return {reinterpret_cast<const void*>(&Enter<K>), K::kThreads, K::kSharedBytes};
}

const CudaKernel kKernels[] = {
#define THRONG_KERNEL(name, ...) Make<__VA_ARGS__>(),
    THRONG_KERNELS(THRONG_KERNEL)
#undef THRONG_KERNEL
};

}  // namespace

const CudaKernel& FindCudaKernel(KernelId id) { return kKernels[static_cast<int>(id)]; }

}  // namespace throng::device
