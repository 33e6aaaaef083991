#include "engine/codecs/codec_search.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
#include <utility>

#include "base/log.h"
#include "engine/codecs/flashq_mixed.h"
#include "engine/codecs/kv_probe.h"
#include "kv/codec_table.h"
#include "model/config.h"

namespace throng::engine {
namespace {

using Clock = std::chrono::steady_clock;
using Layers = std::vector<kv::LayerCodecs>;

// One codec for one part of the pages.
struct Option {
  std::string name;                 // from the table, or flashq-mixed
  std::vector<size_t> layer_bytes;  // [layers]: in a block, as the layout rounds them
  double bits = 0.0;                // bits per code, on average
  double kl = 0.0;                  // divergence when used in all layers, the other part f32
  size_t bytes = 0;                 // the sum of layer_bytes
};

// Codecs of a group's keys and values: indices into the options.
struct Pair {
  size_t k, v;
};

struct Plan {
  size_t bytes;             // bytes of a block
  double kl;                // forecast
  std::vector<Pair> pairs;  // choices for the first groups
};

size_t RoundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

// Keeps the plans that no other beats, in order of bytes.
void KeepBest(std::vector<Plan>& plans) {
  std::sort(plans.begin(), plans.end(), [](const Plan& a, const Plan& b) {
    return a.bytes != b.bytes ? a.bytes < b.bytes : a.kl < b.kl;
  });
  std::vector<Plan> kept;
  for (Plan& plan : plans) {
    if (kept.empty() || plan.kl < kept.back().kl) kept.push_back(std::move(plan));
  }
  plans = std::move(kept);
}

class Search {
 public:
  Search(KvProbe& probe, const HeadPriorities& priorities, double target, kv::KeyBias bias,
         std::shared_ptr<const kv::KeyMeans> means)
      : probe_(probe),
        config_(probe.Config()),
        priorities_(priorities),
        target_(target),
        bias_(bias),
        means_(std::move(means)),
        shapes_(config_.cache_layers),
        num_layers_(shapes_.size()),
        num_groups_(std::min<size_t>(num_layers_, kMostGroups)) {}

  FoundCodecs Run();

 private:
  std::string Spec(const std::string& name, kv::Part part, size_t layer) const;
  Layers AllLayers(const std::string& keys, const std::string& values) const;
  double Measure(const Layers& layers);
  size_t Bytes(const Layers& layers) const;
  size_t GroupBegin(size_t group) const { return group * num_layers_ / num_groups_; }

  bool Has(kv::Part part, size_t layer) const {
    return part == kv::Part::kKeys || !shapes_[layer].values_in_keys;
  }
  Option Describe(const std::string& name, kv::Part part) const;
  std::vector<Option> Scan(kv::Part part);
  std::vector<Option> Prune(std::vector<Option> options, kv::Part part) const;
  void AllowPairs();
  void ProbeGroups(kv::Part part);
  std::vector<Plan> Combine() const;
  Layers LayersOf(const Plan& plan) const;
  bool Holds(const Plan& plan) { return Measure(LayersOf(plan)) <= target_; }
  size_t Cheapest(const std::vector<Plan>& plans);
  void TryUniform(FoundCodecs& found);

  KvProbe& probe_;
  const model::ModelConfig& config_;
  const HeadPriorities& priorities_;
  const double target_;
  const kv::KeyBias bias_;
  const std::shared_ptr<const kv::KeyMeans> means_;
  const std::vector<kv::LayerShape>& shapes_;
  const size_t num_layers_;
  const size_t num_groups_;
  const size_t os_page_ = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  std::vector<Option> scanned_[2];             // keys, values: all
  std::vector<Option> options_[2];             // those worth a closer look
  std::vector<std::vector<double>> costs_[2];  // [groups][options]: divergence
  std::map<std::string, double> measured_;     // by specifications
  Clock::time_point said_ = Clock::now();
};

constexpr int kKeys = 0;
constexpr int kValues = 1;

int IndexOf(kv::Part part) { return part == kv::Part::kKeys ? kKeys : kValues; }

std::string Search::Spec(const std::string& name, kv::Part part, size_t layer) const {
  if (!Has(part, layer)) return "";
  const bool keys = part == kv::Part::kKeys;
  const std::string codec = name == kv::kFlashqMixed
                                ? MixedCodec(name, (keys ? priorities_.keys : priorities_.values)[layer])
                                : name;
  return keys ? kv::WithKeyBias(codec, bias_) : codec;
}

Layers Search::AllLayers(const std::string& keys, const std::string& values) const {
  Layers layers;
  for (size_t layer = 0; layer < num_layers_; ++layer) {
    layers.push_back({Spec(keys, kv::Part::kKeys, layer), Spec(values, kv::Part::kValues, layer)});
  }
  return layers;
}

double Search::Measure(const Layers& layers) {
  std::string key;
  for (const kv::LayerCodecs& layer : layers) key += layer.k + "+" + layer.v + ";";
  const auto it = measured_.find(key);
  if (it != measured_.end()) return it->second;
  if (Clock::now() - said_ > std::chrono::seconds(10)) {
    spdlog::info("--kv auto: {} passes over {} tokens are done", probe_.NumPasses(), probe_.NumTokens());
    said_ = Clock::now();
  }
  const double kl =
      probe_.Divergence(kv::WithStates(kv::MakeLayout(layers, shapes_, means_), config_.state_floats));
  measured_.emplace(std::move(key), kl);
  return kl;
}

// The bytes that the allocator takes for a block.
size_t Search::Bytes(const Layers& layers) const {
  return RoundUp(kv::MakeLayout(layers, shapes_, means_).bytes, os_page_);
}

// Everything but the divergence.
Option Search::Describe(const std::string& name, kv::Part part) const {
  Option option{.name = name, .layer_bytes = std::vector<size_t>(num_layers_)};
  double code_bits = 0.0, codes = 0.0;
  for (size_t layer = 0; layer < num_layers_; ++layer) {
    if (!Has(part, layer)) continue;
    const kv::LayerShape& shape = shapes_[layer];
    const int head_dim = part == kv::Part::kKeys ? shape.key_dim : shape.value_dim;
    for (const auto& codec : kv::ParseHeadCodecs(Spec(name, part, layer), shape.num_kv_heads, head_dim)) {
      option.layer_bytes[layer] += RoundUp(codec->Bytes(part), 64);
      code_bits += 8.0 * static_cast<double>(codec->Count(part).codes);
      codes += static_cast<double>(kv::kPageTokens) * head_dim;
    }
    option.bytes += option.layer_bytes[layer];
  }
  if (codes > 0.0) option.bits = code_bits / codes;
  return option;
}

std::vector<Option> Search::Scan(kv::Part part) {
  bool has = false;
  for (size_t layer = 0; layer < num_layers_; ++layer) has = has || Has(part, layer);
  if (!has) return {Describe("f32", part)};  // of no bytes
  std::vector<std::string> names;
  for (const kv::CodecEntry& entry : kv::CodecTable()) {
    if (std::string_view(entry.name) != "f32") names.emplace_back(entry.name);
  }
  if (!priorities_.keys.empty()) names.emplace_back(kv::kFlashqMixed);
  std::vector<Option> options;
  for (const std::string& name : names) {
    Option option = Describe(name, part);
    option.kl = Measure(part == kv::Part::kKeys ? AllLayers(name, "f32") : AllLayers("f32", name));
    spdlog::debug("--kv auto: {} of all layers as {}: {} bytes a block, {} bits, KL {:.3g}",
                  part == kv::Part::kKeys ? "keys" : "values", name, option.bytes, option.bits, option.kl);
    options.push_back(std::move(option));
  }
  return options;
}

// Sorts by bytes, and keeps each option that is better than all before by at least a fifth, up to the first
// that leaves nearly all of the target to others. If there is none, f32 ends the list: it costs only bytes.
std::vector<Option> Search::Prune(std::vector<Option> options, kv::Part part) const {
  std::sort(options.begin(), options.end(), [](const Option& a, const Option& b) {
    return a.bytes != b.bytes ? a.bytes < b.bytes : a.kl < b.kl;
  });
  const double negligible = target_ / 10.0;
  const double hopeless = 4.0 * target_ * static_cast<double>(num_groups_);
  std::vector<Option> kept;
  double least = hopeless;
  for (Option& option : options) {
    if (option.kl > 0.8 * least) continue;
    least = option.kl;
    kept.push_back(std::move(option));
    if (least <= negligible) return kept;
  }
  kept.push_back(Describe("f32", part));
  return kept;
}

// If values were left with wider codecs than keys, adds the cheapest codec for keys that is wide enough.
void Search::AllowPairs() {
  const auto narrower = [](const Option& a, const Option& b) { return a.bits < b.bits; };
  const double widest = std::max_element(options_[kValues].begin(), options_[kValues].end(), narrower)->bits;
  if (std::max_element(options_[kKeys].begin(), options_[kKeys].end(), narrower)->bits >= widest) return;
  const Option* cheapest = nullptr;
  for (const Option& option : scanned_[kKeys]) {
    if (option.bits >= widest && (cheapest == nullptr || option.bytes < cheapest->bytes)) cheapest = &option;
  }
  // Values of f32 are only allowed to keys of f32.
  options_[kKeys].push_back(cheapest != nullptr ? *cheapest : options_[kValues].back());
}

void Search::ProbeGroups(kv::Part part) {
  const int index = IndexOf(part);
  costs_[index].assign(num_groups_, {});
  for (size_t group = 0; group < num_groups_; ++group) {
    for (const Option& option : options_[index]) {
      Layers layers = AllLayers("f32", "f32");
      for (size_t layer = GroupBegin(group); layer < GroupBegin(group + 1); ++layer) {
        (part == kv::Part::kKeys ? layers[layer].k : layers[layer].v) = Spec(option.name, part, layer);
      }
      costs_[index][group].push_back(option.name == "f32" ? 0.0 : Measure(layers));
    }
  }
}

// Every disturbance, however small, flips roundings of activations somewhere. That part of the divergence
// does not add up: it is subtracted from each cost and counted once for the whole plan.
std::vector<Plan> Search::Combine() const {
  double noise = target_;
  for (const auto& costs : costs_) {
    for (const std::vector<double>& group : costs) {
      for (const double cost : group) noise = cost > 0.0 ? std::min(noise, cost) : noise;
    }
  }
  std::vector<Plan> plans = {{0, noise, {}}};
  for (size_t group = 0; group < num_groups_; ++group) {
    const auto bytes_of = [&](const Option& option) {
      const auto begin = option.layer_bytes.begin();
      return std::accumulate(begin + static_cast<ptrdiff_t>(GroupBegin(group)),
                             begin + static_cast<ptrdiff_t>(GroupBegin(group + 1)), size_t{0});
    };
    std::vector<Plan> longer;
    for (const Plan& plan : plans) {
      for (size_t k = 0; k < options_[kKeys].size(); ++k) {
        for (size_t v = 0; v < options_[kValues].size(); ++v) {
          const Option &keys = options_[kKeys][k], &values = options_[kValues][v];
          if (keys.bits < values.bits) continue;
          Plan next = plan;
          next.bytes += bytes_of(keys) + bytes_of(values);
          next.kl += std::max(0.0, costs_[kKeys][group][k] - noise) +
                     std::max(0.0, costs_[kValues][group][v] - noise);
          next.pairs.push_back({k, v});
          longer.push_back(std::move(next));
        }
      }
    }
    KeepBest(longer);
    plans = std::move(longer);
  }
  // Of plans that take the same bytes in the allocator, keep the best.
  std::vector<Plan> kept;
  for (Plan& plan : plans) {
    if (!kept.empty() && RoundUp(kept.back().bytes, os_page_) == RoundUp(plan.bytes, os_page_))
      kept.pop_back();
    kept.push_back(std::move(plan));
  }
  return kept;
}

Layers Search::LayersOf(const Plan& plan) const {
  Layers layers;
  for (size_t group = 0; group < num_groups_; ++group) {
    const Pair pair = plan.pairs[group];
    for (size_t layer = GroupBegin(group); layer < GroupBegin(group + 1); ++layer) {
      layers.push_back({Spec(options_[kKeys][pair.k].name, kv::Part::kKeys, layer),
                        Spec(options_[kValues][pair.v].name, kv::Part::kValues, layer)});
    }
  }
  return layers;
}

// The first plan whose measured divergence meets the target; plans.size() if none does. Starts at the
// forecast, moves away in growing steps, then bisects.
size_t Search::Cheapest(const std::vector<Plan>& plans) {
  const size_t size = plans.size();
  size_t holds = static_cast<size_t>(
      std::find_if(plans.begin(), plans.end(), [&](const Plan& plan) { return plan.kl <= target_; }) -
      plans.begin());
  holds = std::min(holds, size - 1);
  size_t fails = 0;  // plans before it are taken to fail; equals `holds` at the end
  size_t step = 1;
  if (Holds(plans[holds])) {
    while (holds > 0) {
      const size_t next = holds - std::min(step, holds);
      step *= 2;
      if (!Holds(plans[next])) {
        fails = next + 1;
        break;
      }
      holds = next;
    }
  } else {
    do {
      if (holds == size - 1) return size;
      fails = holds + 1;
      holds += std::min(step, size - 1 - holds);
      step *= 2;
    } while (!Holds(plans[holds]));
  }
  while (fails < holds) {
    const size_t middle = fails + (holds - fails) / 2;
    if (Holds(plans[middle])) {
      holds = middle;
    } else {
      fails = middle + 1;
    }
  }
  // The measured curve is not quite monotone.
  for (size_t below = 2; below <= 4 && below <= holds; ++below) {
    if (Holds(plans[holds - below])) return holds - below;
  }
  return holds;
}

// Takes one codec for all layers instead, if it holds the target with fewer bytes.
void Search::TryUniform(FoundCodecs& found) {
  size_t least = Bytes(found.layers);
  for (size_t i = 0; i < scanned_[kKeys].size(); ++i) {
    // The same for both, if there are values at all.
    const Option &keys = scanned_[kKeys][i],
                 &values = scanned_[kValues][std::min(i, scanned_[kValues].size() - 1)];
    Layers layers = AllLayers(keys.name, values.name);
    const size_t bytes = Bytes(layers);
    if (bytes >= least || keys.kl + values.kl > 2.0 * target_) continue;
    const double kl = Measure(layers);
    if (kl > target_) continue;
    least = bytes;
    found = {std::move(layers), kl};
  }
}

FoundCodecs Search::Run() {
  for (const kv::Part part : {kv::Part::kKeys, kv::Part::kValues}) {
    scanned_[IndexOf(part)] = Scan(part);
    options_[IndexOf(part)] = Prune(scanned_[IndexOf(part)], part);
  }
  AllowPairs();
  for (const kv::Part part : {kv::Part::kKeys, kv::Part::kValues}) ProbeGroups(part);
  const std::vector<Plan> plans = Combine();
  const size_t best = Cheapest(plans);
  FoundCodecs found{best < plans.size() ? LayersOf(plans[best]) : AllLayers("f32", "f32")};
  found.kl = Measure(found.layers);
  TryUniform(found);
  return found;
}

}  // namespace

FoundCodecs SearchCodecs(KvProbe& probe, const HeadPriorities& priorities, double target, kv::KeyBias bias,
                         std::shared_ptr<const kv::KeyMeans> means) {
  return Search(probe, priorities, target, bias, std::move(means)).Run();
}

}  // namespace throng::engine
