// The state that recurrent blocks keep in a sequence's cache.
#pragma once

#include <cstddef>
#include <functional>

#include "model/transformer.h"

namespace throng::model {

// A part of the state of one layer, which one thread updates.
struct StatePart {
  int layer;  // among those of the layout's states
  size_t offset, floats;

  // In the running chunk: as the tokens before left it.
  float* Of(const BatchItem& item) const;
};

// Calls update(first, count) for ranges of the item's tokens, in order, that together are all of them. After
// each call, the part must be as the range's tokens leave it: it is copied where somebody asked for the state
// after a block.
void UpdateState(const BatchItem& item, const StatePart& part,
                 const std::function<void(size_t first, size_t count)>& update);

}  // namespace throng::model
