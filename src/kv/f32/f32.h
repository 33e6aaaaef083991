// The codec f32: rows as they are. The reference for all others.
#pragma once

#include <memory>

#include "kv/open_page.h"

namespace throng::kv {

// Infinity is stored as the largest float, NaN as 0.
std::shared_ptr<const OpenCodec> MakeF32(int head_dim);

}  // namespace throng::kv
