#include "kv/cache/open_page.h"

#include <cstring>

#include "base/check.h"
#include "kv/float/float.h"
#include "kv/int8/int8_open.h"

namespace throng::kv {

void Codec::Seal(Part part, const OpenCodec& open, const uint8_t* rows, int, uint8_t* encoded) const {
  if (&open == this) {
    std::memcpy(encoded, rows, Bytes(part));
    return;
  }
  alignas(64) float block[kPageTokens * kMaxHeadDim];
  open.Decode(part, rows, block);
  Encode(part, block, encoded);
}

std::shared_ptr<const OpenCodec> MakeOpenCodec(OpenType type, int head_dim) {
  switch (type) {
    case OpenType::kF16:
      return MakeF16(head_dim);
    case OpenType::kF32:
      return MakeF32(head_dim);
    case OpenType::kInt8:
      return MakeInt8Open(head_dim);
  }
  THRONG_CHECK(false);
}

}  // namespace throng::kv
