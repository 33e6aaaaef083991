#include "kv/codec.h"

#include <cstring>

#include "base/error.h"
#include "kv/float/float.h"
#include "kv/open_codec.h"

namespace throng::kv {

void CheckHeadDim(int head_dim) {
  if (head_dim < 8 || head_dim > kMaxHeadDim || head_dim % 8 != 0) {
    throw MakeError(ErrorCode::kUnsupported, "KV cache: head size {} must be a multiple of 8, from 8 to {}",
                    head_dim, kMaxHeadDim);
  }
}

void Codec::Seal(Part part, const OpenCodec& open, const uint8_t* rows, const PagesBefore&,
                 uint8_t* encoded) const {
  if (&open == this) {
    std::memcpy(encoded, rows, Bytes(part));
    return;
  }
  alignas(64) float block[kPageTokens * kMaxHeadDim];
  open.Decode(part, rows, block);
  Encode(part, block, encoded);
}

void Codec::MixKeys(const uint8_t* keys, const float* probabilities, const float* rescale, LatentDims dims,
                    int num_rows, float* out) const {
  alignas(64) float block[kPageTokens * kMaxHeadDim];
  Decode(Part::kKeys, keys, block);
  MixRowsOfF32(block, dims.key, probabilities, rescale, dims.value, num_rows, out);
}

}  // namespace throng::kv
