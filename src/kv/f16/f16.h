// The codec f16: rows rounded to IEEE binary16.
#pragma once

#include <memory>

#include "kv/open_page.h"

namespace throng::kv {

// Values beyond 65504 are stored as 65504, NaN as 0.
std::shared_ptr<const OpenCodec> MakeF16(int head_dim);

}  // namespace throng::kv
