// Random tensors of every block format, for tests and benchmarks.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/half.h"
#include "base/rng.h"
#include "model/gguf/gguf.h"

namespace throng::model {

inline constexpr std::array kAllTensorTypes = {TensorType::kF32,  TensorType::kF16,  TensorType::kBF16,
                                               TensorType::kQ4_0, TensorType::kQ4_1, TensorType::kQ5_0,
                                               TensorType::kQ5_1, TensorType::kQ8_0, TensorType::kQ4_K,
                                               TensorType::kQ5_K, TensorType::kQ6_K};

// Roughly normal, in (-size, size).
inline float RandomFloat(CounterRng& rng, float size) {
  double sum = 0;
  for (int i = 0; i < 4; ++i) sum += rng.NextDouble();
  return static_cast<float>((sum / 2 - 1) * size);
}

// Whole blocks of `elements` weights of about `size`: random codes under scales that give that size.
inline std::vector<uint8_t> RandomBlocks(TensorType type, size_t elements, float size, uint64_t seed) {
  CounterRng rng(seed, static_cast<uint32_t>(type));
  const BlockSize block = *BlockSizeOf(type);
  std::vector<uint8_t> out(elements / block.elements * block.bytes);
  for (uint8_t* p = out.data(); p < out.data() + out.size(); p += block.bytes) {
    for (uint32_t i = 0; i < block.bytes; ++i) p[i] = static_cast<uint8_t>(rng.Next());
    const auto set_half = [&](size_t at, float value) {
      const uint16_t bits = FloatToHalf(value);
      std::memcpy(p + at, &bits, 2);
    };
    const auto scale = [&](float range) { return size / range * static_cast<float>(0.5 + rng.NextDouble()); };
    const float value = RandomFloat(rng, size);
    const uint16_t bfloat = FloatToBfloat16(value);
    switch (type) {
      case TensorType::kF32:
        std::memcpy(p, &value, 4);
        break;
      case TensorType::kF16:
        set_half(0, value);
        break;
      case TensorType::kBF16:
        std::memcpy(p, &bfloat, 2);
        break;
      case TensorType::kQ4_0:
        set_half(0, scale(8));
        break;
      case TensorType::kQ5_0:
        set_half(0, scale(16));
        break;
      case TensorType::kQ8_0:
        set_half(0, scale(127));
        break;
      case TensorType::kQ4_1:
        set_half(0, scale(8));
        set_half(2, -size);
        break;
      case TensorType::kQ5_1:
        set_half(0, scale(16));
        set_half(2, -size);
        break;
      case TensorType::kQ4_K:
        set_half(0, scale(8 * 32));
        set_half(2, scale(32));
        break;
      case TensorType::kQ5_K:
        set_half(0, scale(16 * 32));
        set_half(2, scale(32));
        break;
      case TensorType::kQ6_K:
        set_half(208, scale(32 * 64));
        break;
    }
  }
  return out;
}

}  // namespace throng::model
