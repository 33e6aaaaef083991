// The codec f32: rows as they are. The reference for all others.
#pragma once

#include <memory>

#include "kv/open_page.h"

namespace throng::kv {

// Values beyond 1e30 are stored as 1e30, so that sums of their products are finite; NaN as 0.
std::shared_ptr<const OpenCodec> MakeF32(int head_dim);

}  // namespace throng::kv
