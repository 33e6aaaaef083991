#include "kv/amx_products.h"

#include "base/check.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace throng::kv {
namespace {

#ifdef __x86_64__

#define THRONG_AMX __attribute__((target("amx-tile,amx-int8")))

// The intrinsics take numbers of tiles as text, so the kinds of products are separate calls.
template <bool kSignedWeights>
struct Products {
  THRONG_AMX static void OneTile(const char* a, size_t a_stride, const char* b, size_t b_stride, int depth,
                                 int32_t* sums) {
    constexpr size_t kSumBytes = kPanelColumns * sizeof(int32_t);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int k = 0; k < depth; k += 64, a += 64, b += 16 * b_stride) {
      _tile_loadd(4, a, a_stride);
      _tile_loadd(5, b, b_stride);
      _tile_loadd(6, b + 64, b_stride);
      if constexpr (kSignedWeights) {
        _tile_dpbsud(0, 4, 5);
        _tile_dpbsud(1, 4, 6);
      } else {
        _tile_dpbusd(0, 4, 5);
        _tile_dpbusd(1, 4, 6);
      }
      _tile_loadd(5, b + 128, b_stride);
      _tile_loadd(6, b + 192, b_stride);
      if constexpr (kSignedWeights) {
        _tile_dpbsud(2, 4, 5);
        _tile_dpbsud(3, 4, 6);
      } else {
        _tile_dpbusd(2, 4, 5);
        _tile_dpbusd(3, 4, 6);
      }
    }
    _tile_stored(0, sums, kSumBytes);
    _tile_stored(1, sums + 16, kSumBytes);
    _tile_stored(2, sums + 32, kSumBytes);
    _tile_stored(3, sums + 48, kSumBytes);
  }

  THRONG_AMX static void TwoTiles(const char* a, size_t a_stride, const char* b, size_t b_stride, int depth,
                                  int32_t* sums) {
    constexpr size_t kSumBytes = kPanelColumns * sizeof(int32_t);
    for (int half = 0; half < 2; ++half, b += 128, sums += 32) {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      const char* rows = a;
      const char* codes = b;
      for (int k = 0; k < depth; k += 64, rows += 64, codes += 16 * b_stride) {
        _tile_loadd(4, rows, a_stride);
        _tile_loadd(6, codes, b_stride);
        _tile_loadd(7, codes + 64, b_stride);
        _tile_loadd(5, rows + kAmxRows * a_stride, a_stride);
        if constexpr (kSignedWeights) {
          _tile_dpbsud(0, 4, 6);
          _tile_dpbsud(1, 4, 7);
          _tile_dpbsud(2, 5, 6);
          _tile_dpbsud(3, 5, 7);
        } else {
          _tile_dpbusd(0, 4, 6);
          _tile_dpbusd(1, 4, 7);
          _tile_dpbusd(2, 5, 6);
          _tile_dpbusd(3, 5, 7);
        }
      }
      int32_t* second = sums + kAmxRows * kPanelColumns;
      _tile_stored(0, sums, kSumBytes);
      _tile_stored(1, sums + 16, kSumBytes);
      _tile_stored(2, second, kSumBytes);
      _tile_stored(3, second + 16, kSumBytes);
    }
  }
};

template <bool kSignedWeights>
void Multiply(const PanelRows& rows, const void* codes, size_t stride, int depth, int32_t* sums) {
  THRONG_DCHECK(depth % 64 == 0 && (rows.tiles == 1 || rows.tiles == 2));
  const auto* a = static_cast<const char*>(rows.bytes);
  const auto* b = static_cast<const char*>(codes);
  const auto multiply =
      rows.tiles == 1 ? Products<kSignedWeights>::OneTile : Products<kSignedWeights>::TwoTiles;
  multiply(a, rows.stride, b, stride, depth, sums);
}

#else

template <bool kSignedWeights>
void Multiply(const PanelRows&, const void*, size_t, int, int32_t*) {
  THRONG_CHECK(false);  // AmxInt8Usable() is false
}

#endif

}  // namespace

void MultiplyKeys(const PanelRows& rows, const uint8_t* codes, size_t stride, int depth, int32_t* sums) {
  Multiply<true>(rows, codes, stride, depth, sums);
}
void MultiplyValues(const PanelRows& rows, const void* codes, size_t stride, int depth, int32_t* sums) {
  Multiply<false>(rows, codes, stride, depth, sums);
}

}  // namespace throng::kv
