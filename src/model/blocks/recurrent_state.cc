#include "model/blocks/recurrent_state.h"

#include <algorithm>

#include "kv/cache/sequence_cache.h"

namespace throng::model {

float* StatePart::Of(const BatchItem& item) const { return item.cache->State(layer) + offset; }

void UpdateState(const BatchItem& item, const StatePart& part,
                 const std::function<void(size_t first, size_t count)>& update) {
  constexpr auto kBlock = static_cast<size_t>(kv::kPageTokens);
  auto position = static_cast<size_t>(item.cache->NumTokens());
  for (size_t first = 0; first < item.tokens.size();) {
    const size_t count = std::min(kBlock - position % kBlock, item.tokens.size() - first);
    update(first, count);
    first += count;
    position += count;
    if (position % kBlock != 0) continue;
    float* kept = item.cache->KeptState(part.layer, static_cast<int>(position / kBlock) - 1);
    if (kept != nullptr) std::copy_n(part.Of(item), part.floats, kept + part.offset);
  }
}

}  // namespace throng::model
