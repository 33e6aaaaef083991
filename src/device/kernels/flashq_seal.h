// Seals pages of flashq4 and flashq2: the bytes that kv/flashq/flashq.cc makes, bit for bit.
#pragma once

#include "device/intrinsics.h"
#include "device/kernels/flashq_layout.h"
#include "device/kernels/quantize.h"
#include "device/kernels/seal_job.h"

namespace throng::device {

// One block of 128 threads for a page's keys or values.
template <int kBits, int kDim>
struct SealFlashq {
  using Args = SealArgs;
  using Layout = FlashqLayout<kBits, kDim>;
  static constexpr int kThreads = 128;
  static constexpr int kBlocks = 8;
  static constexpr int kWarps = kThreads / kWarpThreads;
  static constexpr int kRange = 119;

  struct Shared {
    int8_t codes[kPageTokens * kDim];  // as the rows are laid out
    float largest[kWarps];
    uint8_t scale[kDim];
    int8_t zero[kDim];
  };
  static constexpr size_t kSharedBytes = sizeof(Shared);

  static THRONG_DEVICE void Run(const Args& args) {
    const SealJob& job = args.jobs[BlockIndex().x];
    Shared& shared = *static_cast<Shared*>(SharedMemory());
    const float scale = StageOne(job, shared);
    Barrier();
    for (int c = ThreadIndex(); c < kDim; c += kThreads) SetChannel(job, shared, c);
    Barrier();
    for (int w = ThreadIndex(); w < static_cast<int>(Layout::kCodeBytes / 4); w += kThreads) {
      reinterpret_cast<uint32_t*>(job.page)[w] =
          job.is_values != 0 ? ValueWord(shared, w) : KeyWord(shared, w);
    }
    for (int c = ThreadIndex(); c < kDim; c += kThreads) {
      job.page[Layout::kScales + c] = shared.scale[c];
      job.page[Layout::kZeros + c] = static_cast<uint8_t>(shared.zero[c]);
    }
    if (ThreadIndex() == 0) *reinterpret_cast<float*>(job.page + Layout::kBlockScale) = scale;
  }

 private:
  static constexpr int kElements = kPageTokens * kDim;

  // Codes of 8 bits with one scale for the page, which it returns.
  static THRONG_DEVICE float StageOne(const SealJob& job, Shared& shared) {
    float largest = 0.0f;
    for (int e = 8 * ThreadIndex(); e < kElements; e += 8 * kThreads) {
      const Words4 eight = Load16(job.rows + e);
      for (int i = 0; i < 8; ++i) largest = Max(largest, Abs(Element(eight, i)));
    }
    THRONG_UNROLL
    for (int mask = 16; mask > 0; mask /= 2) largest = Max(largest, ShuffleXor(largest, mask));
    if (Lane() == 0) shared.largest[Warp()] = largest;
    Barrier();
    for (int w = 0; w < kWarps; ++w) largest = Max(largest, shared.largest[w]);
    const float scale = largest / static_cast<float>(kRange);
    for (int e = 8 * ThreadIndex(); e < kElements; e += 8 * kThreads) {
      const Words4 eight = Load16(job.rows + e);
      for (int i = 0; i < 8; ++i) {
        shared.codes[e + i] =
            static_cast<int8_t>(scale == 0.0f ? 0 : QuantizeExactly(Element(eight, i), scale, kRange));
      }
    }
    return scale;
  }

  static THRONG_DEVICE float Element(const Words4& eight, int i) {
    return HalfBitsToFloat(static_cast<uint16_t>(eight.w[i / 2] >> i % 2 * 16));
  }

  static THRONG_DEVICE int Place(const SealJob& job, int token, int channel) {
    return job.is_values != 0 ? token * kDim + channel : channel * kPageTokens + token;
  }

  static THRONG_DEVICE void SetChannel(const SealJob& job, Shared& shared, int c) {
    int low = shared.codes[Place(job, 0, c)];
    int high = low;
    for (int t = 1; t < kPageTokens; ++t) {
      const int code = shared.codes[Place(job, t, c)];
      low = code < low ? code : low;
      high = code > high ? code : high;
    }
    const int least = (high - low + Layout::kLevels - 1) / Layout::kLevels;
    const int scale = least > 1 ? least : 1;
    int zero = low;
    if (job.is_values != 0) {  // so that the page's first token is exact
      const int first = shared.codes[Place(job, 0, c)];
      const int of_first = first - scale * Steps(first - low, scale);
      if (of_first >= -128) zero = of_first;
    }
    shared.scale[c] = static_cast<uint8_t>(scale);
    shared.zero[c] = static_cast<int8_t>(zero);
  }

  static THRONG_DEVICE int Steps(int difference, int scale) {
    return static_cast<int>(Round(static_cast<float>(difference) / static_cast<float>(scale)));
  }

  static THRONG_DEVICE uint32_t Code(const Shared& shared, int channel, int8_t code) {
    const int steps = Steps(code - shared.zero[channel], shared.scale[channel]);
    return static_cast<uint32_t>(steps < 0 ? 0 : steps > Layout::kLevels ? Layout::kLevels : steps);
  }

  static THRONG_DEVICE uint32_t KeyWord(const Shared& shared, int w) {
    const int group = w / Layout::kKeyLine;
    const int first_token = w % Layout::kKeyLine;
    uint32_t word = 0;
    for (int byte = 0; byte < 4; ++byte) {
      for (int t = first_token; t < kPageTokens; t += Layout::kKeyLine) {
        for (int second = 0; second < 2; ++second) {
          const int c = 8 * group + 4 * second + byte;
          const int shift = 8 * byte + t / Layout::kKeyLine * 4 + second * kBits;
          word |= Code(shared, c, shared.codes[c * kPageTokens + t]) << shift;
        }
      }
    }
    return word;
  }

  static THRONG_DEVICE uint32_t ValueWord(const Shared& shared, int w) {
    const int line = w / Layout::kValueLine;
    const int c = w % Layout::kValueLine;
    uint32_t word = 0;
    for (int byte = 0; byte < 4; ++byte) {
      for (int quad = 0; quad < 8 / kBits; ++quad) {
        const int t = Layout::kPerWord * line + 4 * quad + byte;
        word |= Code(shared, c, shared.codes[t * kDim + c]) << (8 * byte + quad * kBits);
      }
    }
    return word;
  }
};

}  // namespace throng::device
