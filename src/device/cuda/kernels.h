// The kernels as CUDA knows them.
#pragma once

#include <cstddef>

#include "device/kernels/kernel_list.h"

namespace throng::device {

struct CudaKernel {
  const void* function;  // for cudaLaunchKernel
  int threads;
  size_t shared_bytes;
};

const CudaKernel& FindCudaKernel(KernelId id);

}  // namespace throng::device
