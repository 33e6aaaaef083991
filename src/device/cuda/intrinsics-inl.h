// device/intrinsics.h for nvcc.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "device/intrinsics.h"

namespace throng::device {

THRONG_DEVICE int ThreadIndex() { return static_cast<int>(threadIdx.x); }
THRONG_DEVICE int BlockThreads() { return static_cast<int>(blockDim.x); }
THRONG_DEVICE Index3 BlockIndex() {
  return {static_cast<int>(blockIdx.x), static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.z)};
}
THRONG_DEVICE int Lane() { return ThreadIndex() % kWarpThreads; }
THRONG_DEVICE int Warp() { return ThreadIndex() / kWarpThreads; }

THRONG_DEVICE void* SharedMemory() {
  extern __shared__ __align__(128) unsigned char throng_shared[];
  return throng_shared;
}

THRONG_DEVICE void Barrier(Site) { __syncthreads(); }
THRONG_DEVICE void WarpBarrier(Site) { __syncwarp(); }

THRONG_DEVICE float ShuffleXor(float value, int mask, Site) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}
THRONG_DEVICE int32_t ShuffleXor(int32_t value, int mask, Site) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}
THRONG_DEVICE double ShuffleXor(double value, int mask, Site) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}
THRONG_DEVICE float Shuffle(float value, int from, Site) { return __shfl_sync(0xffffffffu, value, from); }
THRONG_DEVICE int32_t Shuffle(int32_t value, int from, Site) { return __shfl_sync(0xffffffffu, value, from); }

#define THRONG_MMA_8(NAME, A, B)                                                                \
  THRONG_DEVICE void NAME(int32_t(&d)[4], const uint32_t(&a)[4], const uint32_t(&b)[2], Site) { \
    asm("mma.sync.aligned.m16n8k32.row.col.s32." A "." B                                        \
        ".s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "                                          \
        "{%0,%1,%2,%3};"                                                                        \
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])                                        \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                    \
  }
THRONG_MMA_8(MmaS8S8, "s8", "s8")
THRONG_MMA_8(MmaS8U8, "s8", "u8")
THRONG_MMA_8(MmaU8U8, "u8", "u8")
THRONG_MMA_8(MmaU8S8, "u8", "s8")
#undef THRONG_MMA_8

THRONG_DEVICE void MmaF16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

THRONG_DEVICE unsigned SharedAddress(const void* p) {
  return static_cast<unsigned>(__cvta_generic_to_shared(p));
}

THRONG_DEVICE void LoadMatrices(uint32_t (&r)[4], const void* row, Site) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(SharedAddress(row))
               : "memory");
}

THRONG_DEVICE void CopyAsync(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(SharedAddress(shared)), "l"(global)
               : "memory");
}
THRONG_DEVICE void CommitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int pending>
THRONG_DEVICE void WaitCopies(Site) {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

THRONG_DEVICE Words4 Load16(const void* global) {
  const uint4 v = __ldg(static_cast<const uint4*>(global));
  return {{v.x, v.y, v.z, v.w}};
}
THRONG_DEVICE Words2 Load8(const void* global) {
  const uint2 v = __ldg(static_cast<const uint2*>(global));
  return {{v.x, v.y}};
}
THRONG_DEVICE uint32_t Load4(const void* global) { return __ldg(static_cast<const unsigned*>(global)); }

THRONG_DEVICE int32_t Dot4S8(uint32_t a, uint32_t b, int32_t sum) {
  return __dp4a(static_cast<int>(a), static_cast<int>(b), sum);
}
THRONG_DEVICE uint32_t Dot4U8(uint32_t a, uint32_t b, uint32_t sum) { return __dp4a(a, b, sum); }

THRONG_DEVICE uint32_t SelectBytes(uint32_t low, uint32_t high, uint32_t selector) {
  return __byte_perm(low, high, selector & 0x7777u);
}

THRONG_DEVICE float Fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
THRONG_DEVICE double Fma(double a, double b, double c) { return __fma_rn(a, b, c); }
THRONG_DEVICE float Round(float x) { return rintf(x); }
THRONG_DEVICE double Round(double x) { return rint(x); }
THRONG_DEVICE float Sqrt(float x) { return __fsqrt_rn(x); }
THRONG_DEVICE double Sqrt(double x) { return __dsqrt_rn(x); }
THRONG_DEVICE float Exp2(float x) { return exp2f(x); }
THRONG_DEVICE float HalfBitsToFloat(uint16_t bits) { return __half2float(__ushort_as_half(bits)); }
THRONG_DEVICE uint16_t FloatToHalfBits(float x) { return __half_as_ushort(__float2half_rn(x)); }
THRONG_DEVICE float RoundToBfloat16(float x) { return __bfloat162float(__float2bfloat16_rn(x)); }
namespace cuda {

THRONG_DEVICE __half2 Halves(uint32_t bits) {
  return __halves2half2(__ushort_as_half(static_cast<unsigned short>(bits)),
                        __ushort_as_half(static_cast<unsigned short>(bits >> 16)));
}
THRONG_DEVICE uint32_t BitsOf(__half2 x) {
  return __half_as_ushort(__low2half(x)) | static_cast<uint32_t>(__half_as_ushort(__high2half(x))) << 16;
}

}  // namespace cuda

THRONG_DEVICE uint32_t AddHalves(uint32_t a, uint32_t b) {
  return cuda::BitsOf(__hadd2_rn(cuda::Halves(a), cuda::Halves(b)));
}
THRONG_DEVICE uint32_t MultiplyHalves(uint32_t a, uint32_t b) {
  return cuda::BitsOf(__hmul2_rn(cuda::Halves(a), cuda::Halves(b)));
}
THRONG_DEVICE float BitsToFloat(uint32_t bits) { return __uint_as_float(bits); }
THRONG_DEVICE uint32_t FloatToBits(float x) { return __float_as_uint(x); }

THRONG_DEVICE int32_t AtomicAdd(int32_t* address, int32_t value) { return atomicAdd(address, value); }
THRONG_DEVICE uint64_t AtomicAdd(uint64_t* address, uint64_t value) {
  return atomicAdd(reinterpret_cast<unsigned long long*>(address), static_cast<unsigned long long>(value));
}

}  // namespace throng::device
