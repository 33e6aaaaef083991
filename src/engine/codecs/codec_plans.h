// What --kv auto chooses among, and the combinations of it that no other beats: the arithmetic of
// codec_search.h.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "kv/block_layout.h"
#include "kv/layer_codecs.h"

namespace throng::engine {

// Heads that get the same codecs: of a run of adjacent layers, and of each layer some KV heads.
struct HeadUnit {
  struct Heads {
    size_t layer;
    std::vector<int> heads;  // not empty
  };
  std::vector<Heads> layers;
};

inline constexpr size_t kMostLayerGroups = 12;
inline constexpr size_t kMostUnits = 24;

// Divides a model's KV heads into at most kMostUnits units: single heads if there are few, else parts of
// kMostLayerGroups groups of layers. A layer's heads are divided in the order of their priorities, those of
// its keys ([layers][KV heads]; empty: in their own order).
std::vector<HeadUnit> MakeUnits(std::span<const kv::LayerShape> shapes,
                                const std::vector<std::vector<double>>& priorities);

// One codec for one part of the pages.
struct CodecOption {
  std::string name;                // as ParseCodec takes it
  std::vector<size_t> unit_bytes;  // [units]: in a block, as the layout rounds them
  size_t bytes = 0;                // their sum
  double bits = 0.0;               // bits per code, on average
  bool has_finer = false;          // sink= and recent= make a difference: its pages are smaller than int8's
  double kl = 0.0;                 // mean divergence when all heads have it, the other part f32
};

// Everything but the divergence.
CodecOption DescribeOption(const std::string& name, kv::Part part, std::span<const HeadUnit> units,
                           std::span<const kv::LayerShape> shapes);

// The options of one part, and the mean divergence of each in one unit alone: [units][options].
struct PartOptions {
  std::vector<CodecOption> options;
  std::vector<std::vector<double>> costs{};
};

// The options of a unit's keys and values, as indices.
struct OptionPair {
  size_t k, v;
};

struct Plan {
  size_t bytes;                   // of a block
  double kl;                      // forecast
  std::vector<OptionPair> pairs;  // [units]
};

// Small divergences add up: a dynamic programme over the units gives the combination with the smallest sum
// for every number of bytes. Keys never get fewer bits than values. noise_most: the most that rounding of
// activations alone can make of a cost. os_page: the allocator's granularity, bytes; of plans that take as
// many of these, the best is kept. Ascending in bytes, descending in kl.
std::vector<Plan> CombineOptions(const PartOptions& keys, const PartOptions& values, double noise_most,
                                 size_t os_page);

// One specification for each layer: that of the heads' codecs, "rot4" or "rot4/rot2/...". names: [units].
std::vector<std::string> SpecsOfLayers(std::span<const HeadUnit> units, std::span<const std::string> names,
                                       std::span<const kv::LayerShape> shapes);

}  // namespace throng::engine
