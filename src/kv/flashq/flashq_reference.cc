#include "kv/flashq/flashq_reference.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace throng::kv {
namespace {

int RoundToInt(double x) { return static_cast<int>(std::nearbyint(x)); }

int FractionBits(int bits, FlashqScale rule) {
  if (rule == FlashqScale::kCeil) return 0;
  return bits == 4 ? 4 : 1;
}

int ChannelScale(int range, int levels, int fraction_bits) {
  return std::clamp(((range << fraction_bits) + levels - 1) / levels, 1, 255);
}

}  // namespace

FlashqTile QuantizeFlashqTile(std::span<const double> tile, int range) {
  FlashqTile result;
  double largest = 0.0;
  for (const double x : tile) largest = std::max(largest, std::abs(x));
  result.scale = static_cast<float>(largest / range);
  for (const double x : tile) {
    const int code = result.scale == 0.0f ? 0 : RoundToInt(x / static_cast<double>(result.scale));
    result.codes.push_back(std::clamp(code, -range, range));
  }
  return result;
}

FlashqChannels QuantizeFlashqChannels(std::span<const int> codes, int head_dim, int bits, FlashqScale rule,
                                      FlashqZero zero_rule) {
  THRONG_CHECK(bits == 2 || bits == 4);
  THRONG_CHECK(zero_rule == FlashqZero::kLowest || rule == FlashqScale::kCeil);
  const size_t d = static_cast<size_t>(head_dim);
  const int levels = (1 << bits) - 1;
  const int fraction_bits = FractionBits(bits, rule);
  const int half = (1 << fraction_bits) / 2;
  FlashqChannels result;
  result.codes.resize(codes.size());
  result.rebuilt.resize(codes.size());
  for (size_t c = 0; c < d; ++c) {
    int low = codes[c];
    int high = codes[c];
    for (size_t i = c; i < codes.size(); i += d) {
      low = std::min(low, codes[i]);
      high = std::max(high, codes[i]);
    }
    const int scale = ChannelScale(high - low, levels, fraction_bits);
    int zero = low;
    if (zero_rule == FlashqZero::kFirstToken) {
      const int of_first = codes[c] - scale * RoundToInt(static_cast<double>(codes[c] - low) / scale);
      if (of_first >= -128) zero = of_first;
    }
    for (size_t i = c; i < codes.size(); i += d) {
      const double steps = static_cast<double>((codes[i] - zero) * (1 << fraction_bits)) / scale;
      const int code = std::clamp(RoundToInt(steps), 0, levels);
      result.codes[i] = code;
      result.rebuilt[i] = zero + ((code * scale + half) >> fraction_bits);
    }
    result.scale.push_back(scale);
    result.zero.push_back(zero);
  }
  return result;
}

std::vector<double> FlashqRoundTrip(std::span<const double> rows, int head_dim, int tile_tokens, int bits,
                                    FlashqScale rule) {
  std::vector<double> result;
  const size_t tile_size = static_cast<size_t>(tile_tokens) * head_dim;
  for (size_t first = 0; first < rows.size(); first += tile_size) {
    const FlashqTile tile = QuantizeFlashqTile(rows.subspan(first, std::min(tile_size, rows.size() - first)));
    std::vector<int> back = tile.codes;
    if (bits != 8) back = QuantizeFlashqChannels(tile.codes, head_dim, bits, rule).rebuilt;
    for (const int code : back) result.push_back(static_cast<double>(tile.scale) * code);
  }
  return result;
}

}  // namespace throng::kv
