// The search behind --kv auto: finds the codecs, layer by layer, that take the fewest bytes at a given
// divergence from f32.
//
// 1. Measure each codec of the table in all layers, for keys alone and for values alone. Those that no other
//    beats in bytes and divergence are worth a closer look.
// 2. Measure each of these in one group of adjacent layers alone (a group is one layer in models of up to
//    kMostGroups layers): its cost there.
// 3. Divergences of small disturbances add up, so dynamic programming over the groups gives the combination
//    with the least sum for every number of bytes. Keys never get fewer bits than values.
// 4. The sum is only a forecast. Real passes find the cheapest combination on that curve whose measured
//    divergence meets the target and, if it is cheaper, the cheapest such codec for all layers.
#pragma once

#include <memory>
#include <vector>

#include "engine/codecs/codec_choice.h"

namespace throng::engine {

class KvProbe;

inline constexpr int kMostGroups = 12;

struct FoundCodecs {
  std::vector<kv::LayerCodecs> layers;
  double kl = 0.0;  // measured; above the target only if even f32 exceeds it
};

// priorities: from RankHeads; empty: flashq-mixed is not considered. target: above 0, nats. If no codec meets
// it, all layers are f32. bias: what keys lack, with the means of kMean.
FoundCodecs SearchCodecs(KvProbe& probe, const HeadPriorities& priorities, double target,
                         kv::KeyBias bias = kv::KeyBias::kModel,
                         std::shared_ptr<const kv::KeyMeans> means = nullptr);

}  // namespace throng::engine
