// The search behind --kv auto: finds the codecs of each KV head's keys and values that take the fewest bytes
// at a given divergence from f32.
//
// 1. Measure each codec in all heads, for keys alone and for values alone, without a window and with the
//    first page in int8. The better of the two, by what one codec for all keys and one for all values take,
//    is searched further. Codecs that no other beats in bytes and divergence are worth a closer look.
// 2. Measure each of these in one unit alone (codec_plans.h): a KV head, or some of several layers in larger
//    models.
// 3. Find the combinations with the least sum of these for every number of bytes.
// 4. The sum is only a forecast. Real passes find the cheapest combination whose measured divergence meets
// the
//    target and, if it is cheaper, the cheapest codec for all heads.
// 5. Measure that on the held-out text. While it misses the target there, take the next larger combination.
#pragma once

#include <memory>
#include <vector>

#include "engine/codecs/codec_choice.h"

namespace throng::engine {

class KvProbe;

struct SearchOptions {
  KlFigures target;                                     // above 0
  HeadPriorities priorities{};                          // from RankHeads; empty: heads in their own order
  kv::KeyBias bias = kv::KeyBias::kModel;               // what keys lack
  std::shared_ptr<const kv::KeyMeans> means = nullptr;  // of kMean
  kv::FineWindow window{};  // pages that are in int8 whatever is found; empty: the search may take a sink
};

struct FoundCodecs {
  std::vector<kv::LayerCodecs> layers;
  // Measured on either text; above the target only if even f32 exceeds it.
  KlFigures kl;
  KlFigures held_out;
  int corrections = 0;  // how often the held-out text asked for more bytes
};

// Both texts must be longer than the window and two pages. If no codec meets the target on both, all layers
// are f32.
FoundCodecs SearchCodecs(KvProbe& probe, KvProbe& held_out, const SearchOptions& options);

}  // namespace throng::engine
