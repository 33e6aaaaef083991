// device/intrinsics.h for the emulation.
#pragma once

#include <cmath>
#include <cstring>

#include "base/half.h"
#include "device/emulation/block.h"
#include "device/intrinsics.h"

namespace throng::device {

inline int ThreadIndex() { return emulation::Self().Index(); }
inline int BlockThreads() { return emulation::Self().NumThreads(); }
inline Index3 BlockIndex() { return emulation::Self().Block(); }
inline int Lane() { return ThreadIndex() % kWarpThreads; }
inline int Warp() { return ThreadIndex() / kWarpThreads; }
inline void* SharedMemory() { return emulation::Self().Shared(); }

inline void Barrier(Site at) { emulation::Self().WaitForBlock(at); }
inline void WarpBarrier(Site at) { emulation::Self().WaitForWarp(at); }

namespace emulation {

template <typename T>
struct Shuffled {
  T value;
  int from;  // lane
  T result;
};

template <typename T>
T ShuffleLanes(T value, int from, Site at) {
  Shuffled<T> operand{value, from % kWarpThreads, T()};
  Self().WithWarp(
      at,
      [](void* const* lanes) {
        for (int i = 0; i < kWarpThreads; ++i) {
          auto& to = *static_cast<Shuffled<T>*>(lanes[i]);
          to.result = static_cast<Shuffled<T>*>(lanes[to.from])->value;
        }
      },
      &operand);
  return operand.result;
}

template <typename D>
struct MmaOperand {
  D (*d)[4];
  const uint32_t* a;
  const uint32_t* b;
};

// A and B as their elements of type TA and TB, of which a word holds `kPerWord`; Sum adds their products.
template <typename D, int kPerWord, typename ElementA, typename ElementB>
void MmaWarp(void* const* lanes, ElementA element_a, ElementB element_b) {
  using Operand = MmaOperand<D>;
  using Wide = decltype(element_a(0u, 0) * element_b(0u, 0));
  constexpr int kHalf = 4 * kPerWord;  // columns of A in its first half
  Wide a[16][2 * kHalf];
  Wide b[2 * kHalf][8];
  for (int lane = 0; lane < kWarpThreads; ++lane) {
    const auto& operand = *static_cast<const Operand*>(lanes[lane]);
    const int g = lane / 4;
    const int i = lane % 4;
    for (int e = 0; e < kPerWord; ++e) {
      for (int word = 0; word < 4; ++word) {
        a[g + word % 2 * 8][word / 2 * kHalf + i * kPerWord + e] = element_a(operand.a[word], e);
      }
      for (int word = 0; word < 2; ++word)
        b[word * kHalf + i * kPerWord + e][g] = element_b(operand.b[word], e);
    }
  }
  for (int lane = 0; lane < kWarpThreads; ++lane) {
    const auto& operand = *static_cast<const Operand*>(lanes[lane]);
    for (int j = 0; j < 4; ++j) {
      const int row = lane / 4 + j / 2 * 8;
      const int column = lane % 4 * 2 + j % 2;
      Wide sum = static_cast<Wide>((*operand.d)[j]);
      for (int k = 0; k < 2 * kHalf; ++k) sum += a[row][k] * b[k][column];
      (*operand.d)[j] = static_cast<D>(sum);
    }
  }
}

template <typename TA, typename TB>
void Mma8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site at) {
  MmaOperand<int32_t> operand{&d, a, b};
  Self().WithWarp(
      at,
      [](void* const* lanes) {
        MmaWarp<int32_t, 4>(
            lanes, [](uint32_t word, int e) { return int64_t{static_cast<TA>(word >> 8 * e)}; },
            [](uint32_t word, int e) { return int64_t{static_cast<TB>(word >> 8 * e)}; });
      },
      &operand);
}

}  // namespace emulation

inline float ShuffleXor(float value, int mask, Site at) {
  return emulation::ShuffleLanes(value, Lane() ^ mask, at);
}
inline int32_t ShuffleXor(int32_t value, int mask, Site at) {
  return emulation::ShuffleLanes(value, Lane() ^ mask, at);
}
inline double ShuffleXor(double value, int mask, Site at) {
  return emulation::ShuffleLanes(value, Lane() ^ mask, at);
}
inline float Shuffle(float value, int from, Site at) { return emulation::ShuffleLanes(value, from, at); }
inline int32_t Shuffle(int32_t value, int from, Site at) { return emulation::ShuffleLanes(value, from, at); }

inline void MmaS8S8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site at) {
  emulation::Mma8<int8_t, int8_t>(d, a, b, at);
}
inline void MmaS8U8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site at) {
  emulation::Mma8<int8_t, uint8_t>(d, a, b, at);
}
inline void MmaU8U8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site at) {
  emulation::Mma8<uint8_t, uint8_t>(d, a, b, at);
}
inline void MmaU8S8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site at) {
  emulation::Mma8<uint8_t, int8_t>(d, a, b, at);
}

inline void MmaF16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site at) {
  emulation::MmaOperand<float> operand{&d, a, b};
  emulation::Self().WithWarp(
      at,
      [](void* const* lanes) {
        const auto element = [](uint32_t word, int e) {
          return double{HalfToFloat(static_cast<uint16_t>(word >> 16 * e))};
        };
        emulation::MmaWarp<float, 2>(lanes, element, element);
      },
      &operand);
}

inline void LoadMatrices(uint32_t (&r)[4], const void* row, Site at) {
  struct Operand {
    uint32_t* r;
    const uint8_t* row;
  } operand{r, static_cast<const uint8_t*>(row)};
  emulation::Self().WithWarp(
      at,
      [](void* const* lanes) {
        for (int lane = 0; lane < kWarpThreads; ++lane) {
          for (int m = 0; m < 4; ++m) {
            const auto& from = *static_cast<const Operand*>(lanes[8 * m + lane / 4]);
            std::memcpy(static_cast<const Operand*>(lanes[lane])->r + m, from.row + lane % 4 * 4, 4);
          }
        }
      },
      &operand);
}

inline void CopyAsync(void* shared, const void* global) { emulation::Self().Copy(shared, global); }
inline void CommitCopies() { emulation::Self().CommitCopies(); }
template <int pending>
inline void WaitCopies(Site at) {
  emulation::Self().WaitForCopies(pending, at);
}

inline Words4 Load16(const void* global) { return *static_cast<const Words4*>(global); }
inline Words2 Load8(const void* global) { return *static_cast<const Words2*>(global); }
inline uint32_t Load4(const void* global) { return *static_cast<const uint32_t*>(global); }

inline int32_t Dot4S8(uint32_t a, uint32_t b, int32_t sum) {
  for (int e = 0; e < 4; ++e) sum += static_cast<int8_t>(a >> 8 * e) * static_cast<int8_t>(b >> 8 * e);
  return sum;
}
inline uint32_t Dot4U8(uint32_t a, uint32_t b, uint32_t sum) {
  for (int e = 0; e < 4; ++e) sum += (a >> 8 * e & 0xff) * (b >> 8 * e & 0xff);
  return sum;
}

inline uint32_t SelectBytes(uint32_t low, uint32_t high, uint32_t selector) {
  const uint64_t bytes = uint64_t{high} << 32 | low;
  uint32_t result = 0;
  for (int e = 0; e < 4; ++e)
    result |= static_cast<uint32_t>(bytes >> 8 * (selector >> 4 * e & 7) & 0xff) << 8 * e;
  return result;
}

inline float Fma(float a, float b, float c) { return std::fma(a, b, c); }
inline double Fma(double a, double b, double c) { return std::fma(a, b, c); }
inline float Round(float x) { return std::nearbyint(x); }
inline double Round(double x) { return std::nearbyint(x); }
inline float Sqrt(float x) { return std::sqrt(x); }
inline double Sqrt(double x) { return std::sqrt(x); }
inline float Exp2(float x) { return std::exp2(x); }
inline float HalfBitsToFloat(uint16_t bits) { return HalfToFloat(bits); }
inline uint16_t FloatToHalfBits(float x) { return FloatToHalf(x); }
inline float RoundToBfloat16(float x) { return Bfloat16ToFloat(FloatToBfloat16(x)); }
// Sums and products of halves have at most 22 bits, or are rounded to the same half by way of f32.
template <typename Function>
inline uint32_t OfHalves(uint32_t a, uint32_t b, const Function& function) {
  uint32_t result = 0;
  for (int shift = 0; shift < 32; shift += 16) {
    const float x = HalfToFloat(static_cast<uint16_t>(a >> shift));
    const float y = HalfToFloat(static_cast<uint16_t>(b >> shift));
    result |= static_cast<uint32_t>(FloatToHalf(function(x, y))) << shift;
  }
  return result;
}
inline uint32_t AddHalves(uint32_t a, uint32_t b) {
  return OfHalves(a, b, [](float x, float y) { return x + y; });
}
inline uint32_t MultiplyHalves(uint32_t a, uint32_t b) {
  return OfHalves(a, b, [](float x, float y) { return x * y; });
}
inline float BitsToFloat(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}
inline uint32_t FloatToBits(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}

inline int32_t AtomicAdd(int32_t* address, int32_t value) {
  const int32_t before = *address;
  *address = static_cast<int32_t>(static_cast<uint32_t>(before) + static_cast<uint32_t>(value));  // wraps
  return before;
}
inline uint64_t AtomicAdd(uint64_t* address, uint64_t value) {
  const uint64_t before = *address;
  *address += value;
  return before;
}

}  // namespace throng::device
