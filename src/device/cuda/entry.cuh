// Makes a kernel of a type of kernel_list.h, for the files of kernels beside this one.
#pragma once

#include "device/cuda/kernels.h"
#include "device/kernels/all_kernels.h"

namespace throng::device {

template <typename K>
__global__ void __launch_bounds__(K::kThreads, K::kBlocks)
    Enter(const __grid_constant__ typename K::Args args) {
  K::Run(args);
}

template <typename K>
CudaKernel MakeKernel() {
  return {reinterpret_cast<const void*>(&Enter<K>), K::kThreads, K::kSharedBytes};
}

}  // namespace throng::device

#define THRONG_MAKE_KERNEL(name, ...) MakeKernel<__VA_ARGS__>(),
