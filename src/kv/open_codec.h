// Codecs of open pages, which grow row by row and are not encoded yet.
#pragma once

#include <memory>

#include "kv/codec.h"

namespace throng::kv {

// Rows not yet written are 0, or have scale 0, so that their products with probability 0 are 0. Pages of
// floats hold keys as [d, 64] and values as [64, d].
class OpenCodec : public Codec {
 public:
  // Called before the first row of a page. scale: NextScale of the page before, 0 for a sequence's first
  // page.
  virtual void Begin(Part part, uint8_t* page, float scale) const {}
  // Writes rows [first, first + count) of a page; row i is at rows + i * stride. The first row clears the
  // page. Values are clamped to the type's finite range; a NaN becomes 0.
  virtual void Append(Part part, uint8_t* page, int first, int count, const float* rows,
                      size_t stride) const = 0;
  // Sets rows [first, 64) to 0.
  virtual void Clear(Part part, uint8_t* page, int first) const = 0;
};

std::shared_ptr<const OpenCodec> MakeOpenCodec(OpenType type, int head_dim);

}  // namespace throng::kv
