// The kernels as CUDA knows them.
#pragma once

#include <cstddef>
#include <span>

#include "device/kernels/kernel_list.h"

namespace throng::device {

struct CudaKernel {
  const void* function;  // for cudaLaunchKernel
  int threads;
  size_t shared_bytes;
};

const CudaKernel& FindCudaKernel(KernelId id);

// The groups of kernel_list.h, in their order.
std::span<const CudaKernel> SealKernels();
std::span<const CudaKernel> DecodeKernels();
std::span<const CudaKernel> GearDecodeKernels();
std::span<const CudaKernel> PrefillKernels();
std::span<const CudaKernel> RotPrefillKernels();
std::span<const CudaKernel> GearPrefillKernels();
std::span<const CudaKernel> ModelKernels();

}  // namespace throng::device
