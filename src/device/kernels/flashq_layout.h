// The bytes of a page of the codecs flashq4 and flashq2, as kernels read and write them; kv/flashq/flashq.h
// describes them.
#pragma once

#include "device/intrinsics.h"
#include "device/kernels/page_row.h"

namespace throng::device {

template <int kBits, int kDim>
struct FlashqLayout {
  static_assert(kBits == 4 || kBits == 2);
  static_assert(kDim % 64 == 0);
  static constexpr int kLevels = (1 << kBits) - 1;
  static constexpr size_t kCodeBytes = static_cast<size_t>(kPageTokens) * kDim * kBits / 8;
  static constexpr size_t kScales = kCodeBytes;         // s2, [kDim] bytes
  static constexpr size_t kZeros = kCodeBytes + kDim;   // z, [kDim] signed bytes
  static constexpr size_t kBlockScale = kZeros + kDim;  // s1, f32
  static constexpr size_t kBytes = kBlockScale + sizeof(float);

  // Codes come in words of 8 (4 bits) or 16 (2 bits), in lines of kKeyLine and kValueLine words.
  static constexpr int kPerWord = 32 / kBits;
  static constexpr int kKeyLine = kPageTokens * kBits / 4;  // keys: a line has 8 channels of all tokens
  static constexpr int kValueLine = kDim;  // values: a line has kPerWord tokens of all channels
};

}  // namespace throng::device
