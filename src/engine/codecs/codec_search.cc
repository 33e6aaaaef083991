#include "engine/codecs/codec_search.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <utility>

#include "base/log.h"
#include "engine/codecs/codec_plans.h"
#include "engine/codecs/kv_probe.h"
#include "kv/cache/block_pool.h"
#include "kv/codec_table.h"
#include "model/config.h"

namespace throng::engine {
namespace {

using Clock = std::chrono::steady_clock;
using Layers = std::vector<kv::LayerCodecs>;

// Beside the codecs of the table as they are: GEAR with fewer and with more directions.
constexpr const char* kMoreCodecs[] = {"gearl4:r=1", "gearl4:r=2", "gearl2:r=1", "gearl2:r=2",
                                       "gear2:r=4,s=2%"};
// What the fine pages of a window take counts for sequences of this length, tokens.
constexpr int kUsualLength = 4096;
constexpr double kNever = std::numeric_limits<double>::infinity();

// The options of keys and of values.
struct Options {
  PartOptions keys;
  PartOptions values;
  PartOptions& Of(kv::Part part) { return part == kv::Part::kKeys ? keys : values; }
  const PartOptions& Of(kv::Part part) const { return part == kv::Part::kKeys ? keys : values; }
};

class Search {
 public:
  Search(KvProbe& probe, KvProbe& held_out, const SearchOptions& options)
      : probe_(probe),
        held_out_(held_out),
        options_(options),
        config_(probe.Config()),
        shapes_(config_.cache_layers),
        units_(MakeUnits(shapes_, options.priorities.keys)) {}

  FoundCodecs Run();

 private:
  // names: of a codec for each unit.
  Layers LayersOf(const std::vector<std::string>& keys, const std::vector<std::string>& values,
                  const kv::FineWindow& window) const;
  Layers AllAlike(const CodecOption& keys, const CodecOption& values) const;
  Layers LayersOf(const Plan& plan) const;
  kv::BlockLayout Layout(const Layers& layers) const;
  KlFigures Measure(const Layers& layers);
  KlFigures Prove(const Layers& layers) { return held_out_.Divergence(Layout(layers)); }
  // Of a sequence of kUsualLength, or as long as the context.
  size_t Bytes(const Layers& layers) const;
  kv::FineWindow WindowFor(const CodecOption& keys, const CodecOption& values) const {
    return keys.has_finer || values.has_finer ? window_ : kv::FineWindow{};
  }

  PartOptions Scan(kv::Part part, const PartOptions* without_window);
  Options ScanWindows();
  size_t BytesOfBestPair(const Options& scanned) const;
  PartOptions Prune(const PartOptions& scanned, kv::Part part) const;
  void AllowPairs(const Options& scanned);
  void ProbeUnits(kv::Part part);
  bool Holds(const Plan& plan) { return Measure(LayersOf(plan)).Meets(options_.target); }
  size_t Cheapest(const std::vector<Plan>& plans);
  FoundCodecs Proved(const std::vector<Plan>& plans, size_t first);
  void TryUniform(const Options& scanned, FoundCodecs& found);

  KvProbe& probe_;
  KvProbe& held_out_;
  const SearchOptions& options_;
  const model::ModelConfig& config_;
  const std::vector<kv::LayerShape>& shapes_;
  const std::vector<HeadUnit> units_;
  const size_t os_page_ = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const CodecOption f32_keys_ = DescribeOption("f32", kv::Part::kKeys, units_, shapes_);
  const CodecOption f32_values_ = DescribeOption("f32", kv::Part::kValues, units_, shapes_);
  kv::FineWindow window_{};
  Options kept_;                               // those worth a closer look
  std::map<std::string, KlFigures> measured_;  // by specifications
  Clock::time_point said_ = Clock::now();
};

Layers Search::LayersOf(const std::vector<std::string>& keys, const std::vector<std::string>& values,
                        const kv::FineWindow& window) const {
  const std::vector<std::string> k = SpecsOfLayers(units_, keys, shapes_);
  const std::vector<std::string> v = SpecsOfLayers(units_, values, shapes_);
  Layers layers;
  for (size_t layer = 0; layer < shapes_.size(); ++layer) {
    layers.push_back({kv::WithKeyBias(kv::WithWindow(k[layer], window), options_.bias),
                      shapes_[layer].values_in_keys ? "" : kv::WithWindow(v[layer], window)});
  }
  return layers;
}

Layers Search::AllAlike(const CodecOption& keys, const CodecOption& values) const {
  return LayersOf(std::vector(units_.size(), keys.name), std::vector(units_.size(), values.name),
                  WindowFor(keys, values));
}

Layers Search::LayersOf(const Plan& plan) const {
  std::vector<std::string> keys, values;
  kv::FineWindow window;
  for (const OptionPair& pair : plan.pairs) {
    const CodecOption &k = kept_.keys.options[pair.k], &v = kept_.values.options[pair.v];
    keys.push_back(k.name);
    values.push_back(v.name);
    if (k.has_finer || v.has_finer) window = window_;
  }
  return LayersOf(keys, values, window);
}

kv::BlockLayout Search::Layout(const Layers& layers) const {
  return kv::WithStates(kv::MakeLayout(layers, shapes_, options_.means), config_.state_floats);
}

KlFigures Search::Measure(const Layers& layers) {
  std::string key;
  for (const kv::LayerCodecs& layer : layers) key += layer.k + "+" + layer.v + ";";
  const auto it = measured_.find(key);
  if (it != measured_.end()) return it->second;
  if (Clock::now() - said_ > std::chrono::seconds(10)) {
    spdlog::info("--kv auto: {} passes over {} tokens are done", probe_.NumPasses(), probe_.NumTokens());
    said_ = Clock::now();
  }
  const KlFigures kl = probe_.Divergence(Layout(layers));
  measured_.emplace(std::move(key), kl);
  return kl;
}

size_t Search::Bytes(const Layers& layers) const {
  const kv::BlockPool pool(Layout(layers), 0);
  return pool.SequenceBytes(std::min(kUsualLength, config_.context_length));
}

// Measures all codecs. without_window: what they do without window_; null if that is empty.
PartOptions Search::Scan(kv::Part part, const PartOptions* without_window) {
  const bool keys = part == kv::Part::kKeys;
  const CodecOption& f32 = keys ? f32_keys_ : f32_values_;
  if (f32.bytes == 0) return {{f32}};
  std::vector<std::string> names;
  for (const kv::CodecEntry& entry : kv::CodecTable()) {
    if (entry.name != f32.name) names.emplace_back(entry.name);
  }
  names.insert(names.end(), std::begin(kMoreCodecs), std::end(kMoreCodecs));
  PartOptions scanned;
  for (const std::string& name : names) {
    CodecOption option = DescribeOption(name, part, units_, shapes_);
    if (without_window != nullptr && !option.has_finer) {
      option.kl = without_window->options[scanned.options.size()].kl;
    } else {
      option.kl = Measure(keys ? AllAlike(option, f32_values_) : AllAlike(f32_keys_, option)).mean;
    }
    spdlog::debug("--kv auto: {} of all heads as {}, {} sinks: {} bytes a block, {} bits, KL {:.3g}",
                  keys ? "keys" : "values", name, window_.sink_blocks, option.bytes, option.bits, option.kl);
    scanned.options.push_back(std::move(option));
  }
  return scanned;
}

// The fewest bytes of one codec for all keys and one for all values whose divergences are within the target.
size_t Search::BytesOfBestPair(const Options& scanned) const {
  const CodecOption *best_keys = &f32_keys_, *best_values = &f32_values_;
  for (const CodecOption& keys : scanned.keys.options) {
    for (const CodecOption& values : scanned.values.options) {
      if (keys.bits < values.bits || keys.kl + values.kl > options_.target.mean) continue;
      if (keys.bytes + values.bytes >= best_keys->bytes + best_values->bytes) continue;
      best_keys = &keys;
      best_values = &values;
    }
  }
  return Bytes(AllAlike(*best_keys, *best_values));
}

// Sets window_, and returns what was scanned with it.
Options Search::ScanWindows() {
  const auto scan = [&](const Options* without) {
    return Options{Scan(kv::Part::kKeys, without == nullptr ? nullptr : &without->keys),
                   Scan(kv::Part::kValues, without == nullptr ? nullptr : &without->values)};
  };
  window_ = options_.window;
  Options scanned = scan(nullptr);
  constexpr size_t kLeastTokens = 4 * kv::kPageTokens;
  if (window_ != kv::FineWindow{} || std::min(probe_.NumTokens(), held_out_.NumTokens()) < kLeastTokens) {
    return scanned;
  }
  const size_t bytes = BytesOfBestPair(scanned);
  window_ = {.sink_blocks = 1};
  Options with_sink = scan(&scanned);
  if (BytesOfBestPair(with_sink) < bytes) return with_sink;
  window_ = {};
  return scanned;
}

// Sorts by bytes, and keeps each option that is better than all before by at least a fifth, up to the first
// that leaves nearly all of the target to others. If there is none, f32 ends the list: it costs only bytes.
PartOptions Search::Prune(const PartOptions& scanned, kv::Part part) const {
  std::vector<CodecOption> options = scanned.options;
  std::stable_sort(options.begin(), options.end(), [](const CodecOption& a, const CodecOption& b) {
    return a.bytes != b.bytes ? a.bytes < b.bytes : a.kl < b.kl;
  });
  const double negligible = options_.target.mean / 10.0;
  const double hopeless = 4.0 * options_.target.mean * static_cast<double>(units_.size());
  PartOptions kept;
  double least = hopeless;
  for (CodecOption& option : options) {
    if (option.kl > 0.8 * least) continue;
    least = option.kl;
    kept.options.push_back(std::move(option));
    if (least <= negligible) return kept;
  }
  kept.options.push_back(part == kv::Part::kKeys ? f32_keys_ : f32_values_);
  return kept;
}

// If values were left with wider codecs than keys, adds the cheapest codec for keys that is wide enough.
void Search::AllowPairs(const Options& scanned) {
  const auto narrower = [](const CodecOption& a, const CodecOption& b) { return a.bits < b.bits; };
  std::vector<CodecOption>& keys = kept_.keys.options;
  const std::vector<CodecOption>& values = kept_.values.options;
  const double widest = std::max_element(values.begin(), values.end(), narrower)->bits;
  if (std::max_element(keys.begin(), keys.end(), narrower)->bits >= widest) return;
  const CodecOption* cheapest = nullptr;
  for (const CodecOption& option : scanned.keys.options) {
    if (option.bits >= widest && (cheapest == nullptr || option.bytes < cheapest->bytes)) cheapest = &option;
  }
  // Values of f32 are only allowed to keys of f32.
  keys.push_back(cheapest != nullptr ? *cheapest : f32_keys_);
}

void Search::ProbeUnits(kv::Part part) {
  const bool keys = part == kv::Part::kKeys;
  PartOptions& kept = kept_.Of(part);
  kept.costs.assign(units_.size(), std::vector<double>(kept.options.size(), kNever));
  const std::vector<std::string> exact(units_.size(), f32_keys_.name);
  for (size_t unit = 0; unit < units_.size(); ++unit) {
    // From the widest on: when one alone exceeds the target, those below it need not be tried.
    for (size_t i = kept.options.size(); i-- > 0;) {
      const CodecOption& option = kept.options[i];
      double& cost = kept.costs[unit][i];
      cost = 0.0;
      if (option.name == f32_keys_.name) continue;
      std::vector<std::string> names = exact;
      names[unit] = option.name;
      const kv::FineWindow window = option.has_finer ? window_ : kv::FineWindow{};
      cost = Measure(keys ? LayersOf(names, exact, window) : LayersOf(exact, names, window)).mean;
      if (cost > 2.0 * options_.target.mean) break;
    }
  }
}

// The first plan whose measured divergence meets the target; plans.size() if none does. Starts at the
// forecast, moves away in growing steps, then bisects.
size_t Search::Cheapest(const std::vector<Plan>& plans) {
  const size_t size = plans.size();
  size_t holds =
      static_cast<size_t>(std::find_if(plans.begin(), plans.end(),
                                       [&](const Plan& plan) { return plan.kl <= options_.target.mean; }) -
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

// The first plan from there on that meets the target on both texts.
FoundCodecs Search::Proved(const std::vector<Plan>& plans, size_t first) {
  FoundCodecs found;
  size_t step = 1;
  for (size_t i = first; i < plans.size();) {
    if (Holds(plans[i])) {
      found.layers = LayersOf(plans[i]);
      found.kl = Measure(found.layers);
      found.held_out = Prove(found.layers);
      if (found.held_out.Meets(options_.target)) return found;
      if (++found.corrections >= 4) step *= 2;
    }
    i = i + 1 == plans.size() ? plans.size() : std::min(plans.size() - 1, i + step);
  }
  found.layers = AllAlike(f32_keys_, f32_values_);
  found.kl = Measure(found.layers);
  found.held_out = Prove(found.layers);
  return found;
}

// Takes one codec for all heads instead, if it holds the target with fewer bytes.
void Search::TryUniform(const Options& scanned, FoundCodecs& found) {
  size_t least = Bytes(found.layers);
  for (size_t i = 0; i < scanned.keys.options.size(); ++i) {
    // The same for both, if there are values at all.
    const CodecOption &keys = scanned.keys.options[i],
                      &values = scanned.values.options[std::min(i, scanned.values.options.size() - 1)];
    Layers layers = AllAlike(keys, values);
    const size_t bytes = Bytes(layers);
    if (bytes >= least || keys.kl + values.kl > 2.0 * options_.target.mean) continue;
    const KlFigures kl = Measure(layers);
    if (!kl.Meets(options_.target)) continue;
    const KlFigures held_out = Prove(layers);
    if (!held_out.Meets(options_.target)) continue;
    least = bytes;
    found = {std::move(layers), kl, held_out, found.corrections};
  }
}

FoundCodecs Search::Run() {
  const Options scanned = ScanWindows();
  for (const kv::Part part : {kv::Part::kKeys, kv::Part::kValues}) {
    kept_.Of(part) = Prune(scanned.Of(part), part);
  }
  AllowPairs(scanned);
  for (const kv::Part part : {kv::Part::kKeys, kv::Part::kValues}) ProbeUnits(part);
  const std::vector<Plan> plans = CombineOptions(kept_.keys, kept_.values, options_.target.mean, os_page_);
  FoundCodecs found = Proved(plans, Cheapest(plans));
  TryUniform(scanned, found);
  return found;
}

}  // namespace

FoundCodecs SearchCodecs(KvProbe& probe, KvProbe& held_out, const SearchOptions& options) {
  return Search(probe, held_out, options).Run();
}

}  // namespace throng::engine
