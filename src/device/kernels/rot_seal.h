// Seals pages of rot4, rot3, rot2 and int4: the bytes that kv/rot/rot.cc makes, bit for bit.
#pragma once

#include "device/intrinsics.h"
#include "device/kernels/hadamard.h"
#include "device/kernels/quantize.h"
#include "device/kernels/rot_page.h"
#include "device/kernels/seal_job.h"

namespace throng::device {

// One block of 128 threads for a page's keys or values; a warp quantises every fourth token.
template <int kBits, int kDim, int kRotates>
struct SealRot {
  using Args = SealArgs;
  using Layout = RotLayout<kBits, kDim>;
  static constexpr int kThreads = 128;
  static constexpr int kBlocks = 8;
  static constexpr int kWarps = kThreads / kWarpThreads;
  static constexpr int kCount = kDim / kWarpThreads;  // elements of a row in each lane
  static constexpr int kShares = kRotates ? 7 : 1;    // of the row's range that the codes may cover

  struct Shared {
    float row[kWarps][kDim];
    uint8_t codes[kPageTokens][kDim];
  };
  static constexpr size_t kSharedBytes = sizeof(Shared);

  static THRONG_DEVICE void Run(const Args& args) {
    const SealJob& job = args.jobs[BlockIndex().x];
    Shared& shared = *static_cast<Shared*>(SharedMemory());
    for (int token = Warp(); token < kPageTokens; token += kWarps) QuantizeToken(job, token, shared);
    Barrier();
    auto* words = reinterpret_cast<uint32_t*>(job.page);
    constexpr int kLowWords = kPageTokens * kDim * Layout::kLowBits / 32;
    for (int w = ThreadIndex(); w < kLowWords; w += kThreads) {
      words[w] = job.is_values != 0 ? ValueWord<Layout::kLowBits>(shared, w, 0) : KeyWord(shared, w);
    }
    if constexpr (kBits == 3) {
      constexpr int kWords = kPageTokens * kDim / 32;
      for (int w = ThreadIndex(); w < kWords; w += kThreads) {
        words[kLowWords + w] = job.is_values != 0 ? ValueWord<1>(shared, w, 2) : ThirdKeyWord(shared, w);
      }
    }
  }

 private:
  static THRONG_DEVICE void QuantizeToken(const SealJob& job, int token, Shared& shared) {
    float x[kCount];
    THRONG_UNROLL
    for (int i = 0; i < kCount; ++i) {
      const int c = Lane() + i * kWarpThreads;
      const int at = job.is_values != 0 ? token * kDim + c : c * kPageTokens + token;
      x[i] = Finite(HalfBitsToFloat(job.rows[at]));
      if constexpr (kRotates != 0) x[i] *= RotationSign(c) / static_cast<float>(kDim);
    }
    if constexpr (kRotates != 0) HadamardOfWarp(x);
    float low;
    float high;
    FindRange(x, low, high);
    float* row = shared.row[Warp()];
    if constexpr (kShares > 1) {
      THRONG_UNROLL
      for (int i = 0; i < kCount; ++i) row[Lane() + i * kWarpThreads] = x[i];
      WarpBarrier();
    }
    const uint16_t middle_bits = FloatToHalfBits(0.5f * (low + high));
    const float middle = HalfBitsToFloat(middle_bits);
    const float reach = Max(high - middle, middle - low);
    const uint16_t half_step = ChooseHalfStep(row, reach, middle);
    const float step = HalfBitsToFloat(half_step);
    THRONG_UNROLL
    for (int i = 0; i < kCount; ++i) {
      shared.codes[token][Lane() + i * kWarpThreads] = static_cast<uint8_t>(Code(x[i] - middle, step));
    }
    if (Lane() == 0) {
      reinterpret_cast<uint16_t*>(job.page + Layout::kHalfSteps)[token] = half_step;
      reinterpret_cast<uint16_t*>(job.page + Layout::kMiddles)[token] = middle_bits;
    }
  }

  // The row's first lowest element and its last highest one, which tell 0 from -0 as std::minmax_element
  // does.
  static THRONG_DEVICE void FindRange(const float (&x)[kCount], float& low, float& high) {
    low = high = x[0];
    THRONG_UNROLL
    for (int i = 1; i < kCount; ++i) {
      low = Min(low, x[i]);
      high = Max(high, x[i]);
    }
    THRONG_UNROLL
    for (int mask = 16; mask > 0; mask /= 2) {
      low = Min(low, ShuffleXor(low, mask));
      high = Max(high, ShuffleXor(high, mask));
    }
    int32_t first = kDim;
    int32_t last = -1;
    THRONG_UNROLL
    for (int i = kCount - 1; i >= 0; --i) {
      const int32_t c = Lane() + i * kWarpThreads;
      if (x[i] == low) first = c;
      if (x[i] == high && c > last) last = c;
    }
    THRONG_UNROLL
    for (int mask = 16; mask > 0; mask /= 2) {
      const int32_t other_first = ShuffleXor(first, mask);
      const int32_t other_last = ShuffleXor(last, mask);
      first = other_first < first ? other_first : first;
      last = other_last > last ? other_last : last;
    }
    low = ElementOf(x, first);
    high = ElementOf(x, last);
  }
  static THRONG_DEVICE float ElementOf(const float (&x)[kCount], int32_t c) {
    float own = x[0];
    THRONG_UNROLL
    for (int i = 1; i < kCount; ++i) own = c / kWarpThreads == i ? x[i] : own;
    return Shuffle(own, c % kWarpThreads);
  }

  static THRONG_DEVICE float Inverse(float step) { return step > 0.0f ? 0.5f / step : 0.0f; }
  static THRONG_DEVICE int Code(float x, float step) {
    const float place = x * Inverse(step) + 0.5f * static_cast<float>(Layout::kLevels);
    return static_cast<int>(Round(Min(Max(place, 0.0f), static_cast<float>(Layout::kLevels))));
  }

  // The half step of the share with the least squared error, the first of equal ones. Lanes 4 s to 4 s + 3
  // add the error of share s, as the four lanes of the processor's vectors do.
  static THRONG_DEVICE uint16_t ChooseHalfStep(const float* row, float reach, float middle) {
    const int share = Lane() / 4 < kShares ? Lane() / 4 : 0;
    const uint16_t step_bits = HalfStep(reach, share);
    const float step = HalfBitsToFloat(step_bits);
    float error = 0.0f;
    if constexpr (kShares > 1) {
      for (int c = Lane() % 4; c < kDim; c += 4) {
        const float x = row[c] - middle;
        const int code = Code(x, step);
        const float value = (static_cast<float>(2 * code) - static_cast<float>(Layout::kLevels)) * step;
        const float miss = x - value;
        error = error + miss * miss;
      }
      error += ShuffleXor(error, 2);
      error += ShuffleXor(error, 1);
    }
    int best = 0;
    float least = Shuffle(error, 0);
    THRONG_UNROLL
    for (int s = 1; s < kShares; ++s) {
      const float other = Shuffle(error, 4 * s);
      if (other < least) {
        least = other;
        best = s;
      }
    }
    return HalfStep(reach, best);
  }
  static THRONG_DEVICE uint16_t HalfStep(float reach, int share) {
    constexpr float kLevels = static_cast<float>(Layout::kLevels);
    // 1, 0.92, ... 0.52 as the processor's table has them.
    const float of_range = share == 0   ? 1.0f
                           : share == 1 ? 0.92f
                           : share == 2 ? 0.84f
                           : share == 3 ? 0.76f
                           : share == 4 ? 0.68f
                           : share == 5 ? 0.6f
                                        : 0.52f;
    return FloatToHalfBits(reach * of_range / kLevels);
  }

  // Two words of 16 bits: tokens t and t + 1 of 4 or 8 channels.
  static THRONG_DEVICE uint32_t KeyWord(const Shared& shared, int w) {
    constexpr int kBitsHere = Layout::kLowBits;
    constexpr int kChannels = 16 / kBitsHere;
    uint32_t word = 0;
    THRONG_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int at = 2 * w + half;
      const uint8_t* codes = shared.codes[at % kPageTokens] + at / kPageTokens * kChannels;
      THRONG_UNROLL
      for (int i = 0; i < kChannels; ++i) {
        const uint32_t code = codes[i] & ((1u << kBitsHere) - 1);
        word |= code << (16 * half + i % 2 * 8 + i / 2 * kBitsHere);
      }
    }
    return word;
  }
  // Four bytes: third bits of tokens t to t + 3, 8 channels each.
  static THRONG_DEVICE uint32_t ThirdKeyWord(const Shared& shared, int w) {
    uint32_t word = 0;
    THRONG_UNROLL
    for (int byte = 0; byte < 4; ++byte) {
      const int at = 4 * w + byte;
      const uint8_t* codes = shared.codes[at % kPageTokens] + at / kPageTokens * 8;
      THRONG_UNROLL
      for (int i = 0; i < 8; ++i) {
        word |= static_cast<uint32_t>(codes[i] >> 2 & 1) << (8 * byte + i / 2 + i % 2 * 4);
      }
    }
    return word;
  }
  // Two words of 16 bits: even and odd tokens of a channel, kBitsHere bits of each from `shift` on.
  template <int kBitsHere>
  static THRONG_DEVICE uint32_t ValueWord(const Shared& shared, int w, int shift) {
    constexpr int kFields = 16 / kBitsHere;
    uint32_t word = 0;
    THRONG_UNROLL
    for (int t = 0; t < 2 * kFields; ++t) {
      const uint32_t code = shared.codes[w / kDim * 2 * kFields + t][w % kDim];
      word |= (code >> shift & ((1u << kBitsHere) - 1)) << (t % 2 * 16 + t / 2 * kBitsHere);
    }
    return word;
  }
};

}  // namespace throng::device
