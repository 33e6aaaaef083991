// Random tensors of every block format, for tests and benchmarks.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/half.h"
#include "base/rng.h"
#include "model/gguf/gguf.h"

namespace throng::model {

inline constexpr auto kAllTensorTypes = [] {
  std::array<TensorType, kTensorTypes.size()> types{};
  for (size_t i = 0; i < types.size(); ++i) types[i] = kTensorTypes[i].type;
  return types;
}();

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
      case TensorType::kQ3_K:
        set_half(108, scale(4 * 32));
        break;
      case TensorType::kQ2_K:
        set_half(80, scale(2 * 16));
        set_half(82, scale(16));
        break;
      case TensorType::kQ1_0:
        set_half(0, scale(1));
        break;
      case TensorType::kQ2_0:
        set_half(0, scale(2));
        break;
      case TensorType::kTQ2_0:
        set_half(64, scale(2));
        break;
      case TensorType::kTQ1_0:
        set_half(52, scale(1));
        break;
      case TensorType::kIQ4_NL:
        set_half(0, scale(127));
        break;
      case TensorType::kIQ4_XS:
        set_half(0, scale(127 * 32));
        break;
      case TensorType::kIQ3_S:
        set_half(0, scale(15 * 31));
        break;
      case TensorType::kIQ3_XXS:
        set_half(0, scale(62 * 31 / 4.0f));
        break;
      case TensorType::kIQ2_S:
      case TensorType::kIQ2_XS:
      case TensorType::kIQ2_XXS:
        set_half(0, scale(43 * 31 / 8.0f));
        break;
      case TensorType::kIQ1_S:
        set_half(0, scale(9 * 15 / 8.0f));
        break;
      case TensorType::kIQ1_M: {
        const uint16_t bits = FloatToHalf(scale(9 * 15 / 8.0f));
        for (size_t i = 0; i < 4; ++i) {  // a nibble in each of four numbers
          uint8_t& byte = p[49 + 2 * i];
          byte = static_cast<uint8_t>((byte & 15) | ((bits >> (4 * i)) & 15) << 4);
        }
        break;
      }
      case TensorType::kMXFP4:
        p[0] = static_cast<uint8_t>(std::lround(127 + std::log2(scale(6))));
        break;
      case TensorType::kNVFP4:
        for (size_t i = 0; i < 4; ++i) {
          const auto exponent = static_cast<int>(std::clamp(7 + std::log2(scale(6)), 1.0f, 15.0f));
          p[i] = static_cast<uint8_t>(exponent << 3 | (p[i] & 7));
        }
        break;
    }
  }
  return out;
}

}  // namespace throng::model
