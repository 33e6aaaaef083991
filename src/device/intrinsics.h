// What kernels are written with: the threads of a block and what they do together. The same kernel source
// compiles with nvcc for a GPU (cuda/intrinsics-inl.h) and with a C++ compiler for the emulation on a
// processor (emulation/intrinsics-inl.h), which runs a block's threads in random order and so finds what they
// fail to wait for.
//
// A block's threads form warps of 32. Functions "of the warp" must be reached by all 32 threads of a warp, at
// the same place in the source. Fragments of matrices are spread over a warp as PTX lays them out ("Matrix
// Fragments for mma.m16n8k32" and "mma.m16n8k16"): below, g = lane / 4 and i = lane % 4.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/types.h"

namespace throng::device {

THRONG_DEVICE int ThreadIndex();    // in the block
THRONG_DEVICE int BlockThreads();   // a multiple of 32
THRONG_DEVICE Index3 BlockIndex();  // in the grid
THRONG_DEVICE int Lane();           // in the warp
THRONG_DEVICE int Warp();           // in the block

// The block's shared memory, as many bytes as the kernel's kSharedBytes, aligned to 128. Undefined at the
// start.
THRONG_DEVICE void* SharedMemory();

// Threads of the block wait for all others, and see what they wrote before.
THRONG_DEVICE void Barrier(Site at = Site::Here());
// The same for a warp.
THRONG_DEVICE void WarpBarrier(Site at = Site::Here());

// The value of lane `lane ^ mask` of the warp.
THRONG_DEVICE float ShuffleXor(float value, int mask, Site at = Site::Here());
THRONG_DEVICE int32_t ShuffleXor(int32_t value, int mask, Site at = Site::Here());
THRONG_DEVICE double ShuffleXor(double value, int mask, Site at = Site::Here());
// The value of lane `from` of the warp.
THRONG_DEVICE float Shuffle(float value, int from, Site at = Site::Here());
THRONG_DEVICE int32_t Shuffle(int32_t value, int from, Site at = Site::Here());

// d += A B of the warp, exact: A is [16, 32], B is [32, 8], both of 8-bit integers, four to a word.
//   a[0], a[2]: row g, columns 4 i to 4 i + 3 and 16 more; a[1], a[3]: row g + 8
//   b[0], b[1]: column g, rows 4 i to 4 i + 3 and 16 more
//   d[0], d[1]: row g, columns 2 i and 2 i + 1;  d[2], d[3]: row g + 8
THRONG_DEVICE void MmaS8S8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                           Site at = Site::Here());
THRONG_DEVICE void MmaS8U8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                           Site at = Site::Here());
THRONG_DEVICE void MmaU8U8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                           Site at = Site::Here());
THRONG_DEVICE void MmaU8S8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                           Site at = Site::Here());

// d += A B of the warp: A is [16, 16], B is [16, 8], both of f16, two to a word; sums in f32, in no stated
// order.
//   a[0], a[2]: row g, columns 2 i, 2 i + 1 and 8 more; a[1], a[3]: row g + 8
//   b[0], b[1]: column g, rows 2 i, 2 i + 1 and 8 more;  d: as above
THRONG_DEVICE void MmaF16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                          Site at = Site::Here());

// Four 8 x 8 matrices of 16-bit elements from shared memory, of the warp: lanes 8 m to 8 m + 7 name the rows
// of matrix m, 16 bytes each, aligned to 16. r[m]: elements 2 i and 2 i + 1 of row g.
THRONG_DEVICE void LoadMatrices(uint32_t (&r)[4], const void* row, Site at = Site::Here());

// Copies 16 bytes, aligned to 16, from global to shared memory. The copy may happen at any time until the
// thread waits for it, and other threads see it after a barrier that follows the wait.
THRONG_DEVICE void CopyAsync(void* shared, const void* global);
// Ends a group of copies.
THRONG_DEVICE void CommitCopies();
// Waits for the thread's own copies but those of the last `pending` groups.
template <int pending>
THRONG_DEVICE void WaitCopies(Site at = Site::Here());

// 16 bytes of global memory at once; aligned to 16.
struct alignas(16) Words4 {
  uint32_t w[4];
};
struct alignas(8) Words2 {
  uint32_t w[2];
};
THRONG_DEVICE Words4 Load16(const void* global);
THRONG_DEVICE Words2 Load8(const void* global);
THRONG_DEVICE uint32_t Load4(const void* global);

// sum + the products of four 8-bit integers each.
THRONG_DEVICE int32_t Dot4S8(uint32_t a, uint32_t b, int32_t sum);
THRONG_DEVICE uint32_t Dot4U8(uint32_t a, uint32_t b, uint32_t sum);

// Byte e is byte `selector >> 4 e & 7` of the eight of low and high.
THRONG_DEVICE uint32_t SelectBytes(uint32_t low, uint32_t high, uint32_t selector);

THRONG_DEVICE float Fma(float a, float b, float c);  // rounded once
THRONG_DEVICE double Fma(double a, double b, double c);
THRONG_DEVICE float Round(float x);  // to the nearest integer, ties to even
THRONG_DEVICE double Round(double x);
THRONG_DEVICE float Sqrt(float x);    // rounded once
THRONG_DEVICE double Sqrt(double x);  // the same
THRONG_DEVICE float Exp2(float x);    // 2^x, within 2 units in the last place; 0 for -infinity
THRONG_DEVICE float HalfBitsToFloat(uint16_t bits);
THRONG_DEVICE uint16_t FloatToHalfBits(float x);  // to nearest even
THRONG_DEVICE float RoundToBfloat16(float x);     // the same
// Of two halves in a word each, rounded once.
THRONG_DEVICE uint32_t AddHalves(uint32_t a, uint32_t b);
THRONG_DEVICE uint32_t MultiplyHalves(uint32_t a, uint32_t b);
THRONG_DEVICE float BitsToFloat(uint32_t bits);
THRONG_DEVICE uint32_t FloatToBits(float x);

THRONG_DEVICE float Max(float a, float b) { return a > b ? a : b; }
THRONG_DEVICE float Min(float a, float b) { return a < b ? a : b; }
THRONG_DEVICE float Abs(float x) { return x < 0.0f ? -x : x; }
THRONG_DEVICE double Abs(double x) { return x < 0.0 ? -x : x; }

THRONG_DEVICE int32_t AtomicAdd(int32_t* address, int32_t value);  // returns what was there
THRONG_DEVICE uint64_t AtomicAdd(uint64_t* address, uint64_t value);

}  // namespace throng::device

#ifdef __CUDACC__
#include "device/cuda/intrinsics-inl.h"
#else
#include "device/emulation/intrinsics-inl.h"
#endif
