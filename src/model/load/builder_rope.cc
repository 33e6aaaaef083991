// Rotations, as the keys and tensors of a file say.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/gguf/gguf.h"
#include "model/load/builder.h"

namespace throng::model {
namespace {

constexpr int kCachedPositions = 4096;  // in the rope table; a few megabytes at most

}  // namespace

// The factor of cosines and sines.
double ModelBuilder::ReadYarn(RopeScaling& scaling) const {
  scaling.yarn_original_context =
      keys_.CountOr("rope.scaling.original_context_length", model_.config.context_length, 1 << 28);
  scaling.yarn_beta_fast = keys_.PositiveOr("rope.scaling.yarn_beta_fast", 32.0);
  scaling.yarn_beta_slow = keys_.PositiveOr("rope.scaling.yarn_beta_slow", 1.0);
  scaling.yarn_extrapolation = keys_.PositiveOr("rope.scaling.yarn_ext_factor", 1.0);
  // Section 3.4 of the paper: scores grow with the logarithm of the stretch, unless the file says how much.
  // Some models have a part of it in the scale of their scores, and say how much.
  if (keys_.Has("rope.scaling.yarn_attn_factor")) return keys_.Positive("rope.scaling.yarn_attn_factor");
  const double stretch = 1.0 / scaling.linear;
  const auto factor = [&](double share) {
    return stretch <= 1.0 ? 1.0 : 0.1 * share * std::log(stretch) + 1.0;
  };
  if (keys_.NumberOr("rope.scaling.yarn_log_multiplier", 0.0) == 0) return factor(1.0);
  const double elsewhere = keys_.Positive("rope.scaling.yarn_log_multiplier");
  // DeepSeek-V2 has the same multiplier in both places.
  const double here = model_.config.architecture == "deepseek2" ? elsewhere : 1.0;
  return factor(here) / factor(elsewhere);
}

// Of each frequency; empty: none.
std::vector<float> ModelBuilder::FindRopeFactors() {
  ModelConfig& config = model_.config;
  const int pairs = config.rope_dim / 2;
  if (!tensors_.Has("rope_factors_long.weight")) {
    keys_.Ignore("rope.scaling.original_context_length");
    return tensors_.FindVectorOrNone("rope_freqs.weight", pairs);
  }
  // LongRoPE (arXiv 2402.13753): other factors where the context is longer than the first training's. What
  // was read stays in the cache, so the factors cannot change as a text grows.
  const int original = keys_.CountOr("rope.scaling.original_context_length", config.context_length, 1 << 28);
  std::vector<float> long_factors = tensors_.FindVector("rope_factors_long.weight", pairs);
  std::vector<float> short_factors = tensors_.FindVector("rope_factors_short.weight", pairs);
  config.long_factors = (context_ > 0 ? context_ : config.context_length) > original;
  return *config.long_factors ? long_factors : short_factors;
}

const Rope* ModelBuilder::FileRope(bool halves, std::string_view base_key) {
  ModelConfig& config = model_.config;
  config.rope_dim = keys_.CountOr("rope.dimension_count", config.head_dim, config.head_dim);
  config.rope_base = keys_.PositiveOr("rope.freq_base", 10000.0);
  config.window_rope_base = keys_.PositiveOr(base_key, static_cast<double>(config.rope_base));
  RopeScaling scaling;
  double magnitude = 1.0;
  // The second key is that of old files.
  const char* factor = keys_.Has("rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear";
  keys_.Ignore("rope.scale_linear");
  const bool stretched = keys_.NumberOr(factor, 0.0) != 0;  // 0 is what converters write for none
  const std::string_view type = keys_.TextOr("rope.scaling.type", "linear");
  if (type == "linear" || type == "yarn" || type == "longrope") {
    if (stretched) scaling.linear = static_cast<double>(1.0f / keys_.Positive(factor));
    if (type == "yarn") magnitude = ReadYarn(scaling);
  } else if (type != "none") {
    keys_.Refuse("rope.scaling.type", type, "'none', 'linear', 'yarn' and 'longrope'");
  }
  config.rope_scale = static_cast<float>(scaling.linear);
  magnitude *= static_cast<double>(keys_.PositiveOr("rope.scaling.attn_factor", 1.0));
  scaling.factors = FindRopeFactors();
  return AddRope(halves, config.rope_dim, static_cast<double>(config.window_rope_base), scaling, magnitude);
}

const Rope* ModelBuilder::WindowRope(bool halves, const Rope* rope) {
  constexpr const char* kKey = "rope.freq_base_swa";
  return keys_.Has(kKey) ? FileRope(halves, kKey) : rope;
}

const Rope* ModelBuilder::AddRope(bool halves, int dim, double base, const RopeScaling& scaling,
                                  double magnitude) {
  if (dim % 2 != 0) throw MakeError(ErrorCode::kCorrupt, "{}: rope dimension {} is odd", file_.Name(), dim);
  for (const float factor : scaling.factors) {
    if (!(factor > 0)) {
      throw MakeError(ErrorCode::kCorrupt,
                      "{}: a rope frequency is divided by {}; positive numbers are expected", file_.Name(),
                      factor);
    }
  }
  RopeTable table(RopeFrequencies(dim, base, scaling), magnitude,
                  std::min(model_.config.context_length, kCachedPositions));
  attention::Rotation rotation{table.Frequencies(), halves, magnitude};
  model_.ropes.push_back(
      std::make_unique<Rope>(Rope{std::move(table), std::move(rotation), model_.ropes.size()}));
  return model_.ropes.back().get();
}

}  // namespace throng::model
