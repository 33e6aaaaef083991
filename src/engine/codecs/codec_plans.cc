#include "engine/codecs/codec_plans.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "kv/codec_table.h"
#include "kv/int8/int8.h"

namespace throng::engine {
namespace {

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

// The KV heads of a layer, those that bear compression best first.
std::vector<int> InOrder(int num_heads, std::span<const double> priorities) {
  std::vector<int> heads(static_cast<size_t>(num_heads));
  std::iota(heads.begin(), heads.end(), 0);
  if (priorities.empty()) return heads;
  std::stable_sort(heads.begin(), heads.end(), [&](int a, int b) {
    return priorities[static_cast<size_t>(a)] < priorities[static_cast<size_t>(b)];
  });
  return heads;
}

// A unit's extended plans: each of the plans with each allowed pair.
std::vector<Plan> Extend(const std::vector<Plan>& plans, size_t unit, const PartOptions& keys,
                         const PartOptions& values, double noise) {
  std::vector<Plan> longer;
  for (const Plan& plan : plans) {
    for (size_t k = 0; k < keys.options.size(); ++k) {
      for (size_t v = 0; v < values.options.size(); ++v) {
        if (keys.options[k].bits < values.options[v].bits) continue;
        Plan& next = longer.emplace_back(plan);
        next.bytes += keys.options[k].unit_bytes[unit] + values.options[v].unit_bytes[unit];
        next.kl += std::max(0.0, keys.costs[unit][k] - noise) + std::max(0.0, values.costs[unit][v] - noise);
        next.pairs.push_back({k, v});
      }
    }
  }
  return longer;
}

}  // namespace

std::vector<HeadUnit> MakeUnits(std::span<const kv::LayerShape> shapes,
                                const std::vector<std::vector<double>>& priorities) {
  const size_t num_groups = std::min(shapes.size(), kMostLayerGroups);
  int most_heads = 1;
  for (const kv::LayerShape& shape : shapes) most_heads = std::max(most_heads, shape.num_kv_heads);
  const size_t parts = std::clamp<size_t>(kMostUnits / num_groups, 1, static_cast<size_t>(most_heads));
  std::vector<HeadUnit> units;
  for (size_t group = 0; group < num_groups; ++group) {
    for (size_t part = 0; part < parts; ++part) {
      HeadUnit unit;
      for (size_t layer = group * shapes.size() / num_groups;
           layer < (group + 1) * shapes.size() / num_groups; ++layer) {
        const std::vector<int> order =
            InOrder(shapes[layer].num_kv_heads,
                    priorities.empty() ? std::span<const double>() : std::span(priorities[layer]));
        std::vector<int> heads(order.begin() + static_cast<ptrdiff_t>(part * order.size() / parts),
                               order.begin() + static_cast<ptrdiff_t>((part + 1) * order.size() / parts));
        if (!heads.empty()) unit.layers.push_back({layer, std::move(heads)});
      }
      if (!unit.layers.empty()) units.push_back(std::move(unit));
    }
  }
  return units;
}

CodecOption DescribeOption(const std::string& name, kv::Part part, std::span<const HeadUnit> units,
                           std::span<const kv::LayerShape> shapes) {
  CodecOption option{.name = name};
  double code_bits = 0.0, codes = 0.0;
  for (const HeadUnit& unit : units) {
    size_t& bytes = option.unit_bytes.emplace_back(0);
    for (const auto& [layer, heads] : unit.layers) {
      const kv::LayerShape& shape = shapes[layer];
      if (part == kv::Part::kValues && shape.values_in_keys) continue;
      const int head_dim = part == kv::Part::kKeys ? shape.key_dim : shape.value_dim;
      const auto codec = kv::ParseCodec(name, head_dim);
      const auto count = static_cast<double>(heads.size());
      bytes += heads.size() * kv::RoundUp64(codec->Bytes(part));
      code_bits += 8.0 * count * static_cast<double>(codec->Count(part).codes);
      codes += count * kv::kPageTokens * head_dim;
      option.has_finer |= codec->Bytes(part) < kv::MakeInt8(head_dim)->Bytes(part);
    }
    option.bytes += bytes;
  }
  if (codes > 0.0) option.bits = code_bits / codes;
  return option;
}

std::vector<Plan> CombineOptions(const PartOptions& keys, const PartOptions& values, double noise_most,
                                 size_t os_page) {
  // Every disturbance, however small, flips roundings of activations somewhere. That part of the divergence
  // does not add up: it is subtracted from each cost and counted once for the whole plan.
  double noise = noise_most;
  for (const PartOptions* part : {&keys, &values}) {
    for (const std::vector<double>& of_unit : part->costs) {
      for (const double cost : of_unit) noise = cost > 0.0 ? std::min(noise, cost) : noise;
    }
  }
  std::vector<Plan> plans = {{0, noise, {}}};
  for (size_t unit = 0; unit < keys.costs.size(); ++unit) {
    plans = Extend(plans, unit, keys, values, noise);
    KeepBest(plans);
  }
  std::vector<Plan> kept;
  for (Plan& plan : plans) {
    if (!kept.empty() && RoundUp(kept.back().bytes, os_page) == RoundUp(plan.bytes, os_page)) kept.pop_back();
    kept.push_back(std::move(plan));
  }
  return kept;
}

std::vector<std::string> SpecsOfLayers(std::span<const HeadUnit> units, std::span<const std::string> names,
                                       std::span<const kv::LayerShape> shapes) {
  std::vector<std::vector<std::string_view>> of_heads;
  for (const kv::LayerShape& shape : shapes) of_heads.emplace_back(static_cast<size_t>(shape.num_kv_heads));
  for (size_t unit = 0; unit < units.size(); ++unit) {
    for (const auto& [layer, heads] : units[unit].layers) {
      for (const int head : heads) of_heads[layer][static_cast<size_t>(head)] = names[unit];
    }
  }
  std::vector<std::string> specs;
  for (const std::vector<std::string_view>& heads : of_heads) {
    std::string& spec = specs.emplace_back(heads.front());
    if (std::ranges::all_of(heads, [&](std::string_view head) { return head == heads.front(); })) continue;
    for (size_t head = 1; head < heads.size(); ++head) spec.append(1, kv::kHeadSeparator).append(heads[head]);
  }
  return specs;
}

}  // namespace throng::engine
