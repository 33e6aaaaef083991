// Mixes of latent pages of the codecs flashq4 and flashq2: codes of keys in the layout of values.
#if defined(THRONG_KV_FLASHQ_FLASHQ_LATENT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_KV_FLASHQ_FLASHQ_LATENT_INL_H_
#undef THRONG_KV_FLASHQ_FLASHQ_LATENT_INL_H_
#else
#define THRONG_KV_FLASHQ_FLASHQ_LATENT_INL_H_
#endif

#include <cstring>

#include "hwy/highway.h"
#include "kv/codec.h"
#include "kv/flashq/flashq-inl.h"

THRONG_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The bytes of four tokens and four bytes of each, as four bytes of four tokens each.
template <class DU>
HWY_INLINE hn::Vec<DU> LoadTransposed(DU du, const uint8_t* from) {
  HWY_ALIGN static constexpr uint8_t kPlaces[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
  return hn::TableLookupBytes(hn::LoadU(du, from), hn::Load(du, kPlaces));
}

// (bytes >> shift & mask) << place. shift, place: with mask, at most 8 bits.
template <class DU>
HWY_INLINE hn::Vec<DU> MoveBits(DU du, hn::Vec<DU> bytes, int shift, int mask, int place) {
  const hn::Repartition<uint16_t, DU> dw;
  const auto low = hn::ShiftRightSame(hn::BitCast(dw, bytes), shift);
  const auto kept = hn::And(low, hn::Set(dw, static_cast<uint16_t>(mask * 0x0101)));
  return hn::BitCast(du, hn::ShiftLeftSame(kept, place));
}

// values: the codes of the first value_dim channels of a page's keys.
template <int kBits>
HWY_INLINE void TransposeKeys(const uint8_t* keys, int value_dim, uint8_t* values) {
  const hn::CappedTag<uint8_t, 16> du;
  constexpr int kPerByte = 8 / kBits;
  constexpr int kLine = kPageTokens * kBits / 4;  // tokens of a group of channels whose bytes are together
  constexpr int kMask = (1 << kBits) - 1;
  for (int j = 0; j < value_dim / 8; ++j) {
    for (int quad = 0; quad < kPageTokens / 4; quad += kPerByte) {
      auto low = hn::Zero(du), high = hn::Zero(du);  // channels 8 j + i, 8 j + 4 + i
      HWY_UNROLL(4)
      for (int k = 0; k < kPerByte; ++k) {
        const int token = 4 * (quad + k);
        const auto bytes = LoadTransposed(du, keys + (static_cast<size_t>(j) * kLine + token % kLine) * 4);
        const int shift = token / kLine * 4;
        low = hn::Or(low, MoveBits(du, bytes, shift, kMask, k * kBits));
        high = hn::Or(high, MoveBits(du, bytes, shift + kBits, kMask, k * kBits));
      }
      uint8_t* to = values + (static_cast<size_t>(quad / kPerByte) * value_dim + 8 * j) * 4;
      hn::StoreU(low, du, to);
      hn::StoreU(high, du, to + 16);
    }
  }
}

template <int kBits>
HWY_INLINE void MixKeysFlashq(const uint8_t* keys, const float* probabilities, const float* rescale,
                              LatentDims dims, int num_rows, float* out) {
  const size_t d = static_cast<size_t>(dims.value);
  alignas(64) uint8_t values[kPageTokens * kMaxHeadDim * kBits / 8 + 2 * kMaxHeadDim + 64];
  TransposeKeys<kBits>(keys, dims.value, values);
  const FlashqScales scales = ViewScales(keys, kBits, dims.key);
  uint8_t* to = values + kPageTokens * d * kBits / 8;
  std::memcpy(to, scales.scale, d);
  std::memcpy(to + d, scales.zero, d);
  std::memcpy(to + 2 * d, &scales.block, sizeof(scales.block));
  MixFlashq<kBits>(values, probabilities, rescale, dims.value, num_rows, out);
}

void MixKeysFlashq4(const uint8_t* keys, const float* probabilities, const float* rescale, LatentDims dims,
                    int num_rows, float* out) {
  MixKeysFlashq<4>(keys, probabilities, rescale, dims, num_rows, out);
}
void MixKeysFlashq2(const uint8_t* keys, const float* probabilities, const float* rescale, LatentDims dims,
                    int num_rows, float* out) {
  MixKeysFlashq<2>(keys, probabilities, rescale, dims, num_rows, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#endif  // THRONG_KV_FLASHQ_FLASHQ_LATENT_INL_H_
