#include "kv/open_codec.h"

#include "base/check.h"
#include "kv/float/float.h"
#include "kv/int8/int8_open.h"

namespace throng::kv {

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
