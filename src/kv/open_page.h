// Open pages: rows that are not encoded yet, in the layout of an f16 or f32 page, which grows row by row.
#pragma once

#include <memory>

#include "kv/codec.h"

namespace throng::kv {

// Keys lie as [d, 64] and values as [64, d]; rows not yet written are 0, so that their products with
// probability 0 are 0.
class OpenCodec : public Codec {
 public:
  // Writes rows [first, first + count) of a page; row i is at rows + i * stride. The first row clears the
  // page. Values are clamped to the type's finite range; a NaN becomes 0.
  virtual void Append(Part part, uint8_t* page, int first, int count, const float* rows,
                      size_t stride) const = 0;
  // Sets rows [first, 64) to 0.
  virtual void Clear(Part part, uint8_t* page, int first) const = 0;
};

std::shared_ptr<const OpenCodec> MakeOpenCodec(OpenType type, int head_dim);

}  // namespace throng::kv
