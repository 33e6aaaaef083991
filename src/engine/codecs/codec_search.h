// The search behind --kv auto: the codecs, layer by layer, that take the fewest bytes at a given divergence
// from f32.
//
// 1. Each codec of the table in all layers, for keys alone and for values alone, says which are worth a
// closer
//    look: those that no other beats in bytes and divergence.
// 2. Each of these in one group of adjacent layers alone says what it costs there (a group is one layer in
//    models of up to kMostGroups layers).
// 3. Divergences of small disturbances add up, so dynamic programming over the groups gives for every number
// of
//    bytes the combination with the least sum. Keys never get fewer bits than values.
// 4. The sum is only a forecast. Real passes find the cheapest combination along that curve, and below it the
//    cheapest codec for all layers, that holds the target as measured.
#pragma once

#include <vector>

#include "engine/codecs/codec_choice.h"

namespace throng::engine {

class KvProbe;

inline constexpr int kMostGroups = 12;

struct FoundCodecs {
  std::vector<kv::LayerCodecs> layers;
  double kl = 0.0;  // as measured; above the target only if not even f32 holds it
};

// priorities: from RankHeads; empty, if flashq-mixed is not to be considered. target: above 0, nats. If no
// codec holds it, all layers are f32.
FoundCodecs SearchCodecs(KvProbe& probe, const HeadPriorities& priorities, double target);

}  // namespace throng::engine
