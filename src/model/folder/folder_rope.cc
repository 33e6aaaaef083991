// How positions are rotated: rope_theta and rope_scaling of older configs, rope_parameters of newer ones.
#include "model/folder/folder_rope.h"

#include <cmath>
#include <cstring>
#include <numbers>
#include <optional>
#include <string>

#include "base/error.h"
#include "model/gguf/gguf_writer.h"

namespace throng::model {
namespace {

class RopeWriter {
 public:
  RopeWriter(const FolderConfig& config, GgufWriter& writer)
      : config_(config.values), family_(config.family), head_dim_(config.HeadDim()), writer_(writer) {
    rope_ = config_.Object("rope_parameters");
    if (!rope_) rope_ = config_.Object("rope_scaling");
    if (rope_) windowed_ = rope_->Object("sliding_attention");
    if (rope_ && rope_->Has("full_attention")) rope_ = rope_->Object("full_attention");
  }

  std::vector<GgufContent::Tensor> Write() {
    WriteSizes();
    const std::string type = Type();
    if (type == "default" || type == "none") return {};
    if (type == "linear") {
      Add("rope.scaling.type", "linear");
      Add("rope.scaling.factor", rope_->Number("factor"));
      return {};
    }
    if (type == "yarn") return WriteYarn();
    if (type == "llama3") return {Llama3Factors()};
    if (type == "longrope" || type == "su") return WriteLongRope();
    rope_->Refuse(rope_->Has("rope_type") ? "rope_type" : "type",
                  "default, linear, yarn, llama3 and longrope");
  }

 private:
  std::string Type() const {
    if (!rope_) return "default";
    return rope_->TextOr("rope_type", rope_->TextOr("type", "default"));
  }

  std::string Key(const char* key) const { return std::string(family_.architecture) + "." + key; }
  void Add(const char* key, const char* value) { writer_.Add(Key(key), value); }
  void Add(const char* key, double value) { writer_.Add(Key(key), static_cast<float>(value)); }
  void Add(const char* key, uint32_t value) { writer_.Add(Key(key), value); }

  double Base() const {
    return rope_ && rope_->Has("rope_theta") ? rope_->Number("rope_theta")
                                             : config_.NumberOr("rope_theta", family_.rope_base);
  }

  void WriteSizes() {
    double share = config_.NumberOr("partial_rotary_factor", 1.0);
    if (rope_) share = rope_->NumberOr("partial_rotary_factor", share);
    if (!(share > 0 && share <= 1) || (family_.pairs_rows && share != 1)) {
      throw MakeError(ErrorCode::kUnsupported, "{}: partial_rotary_factor is {}; this program computes {}",
                      config_.Name(), share, family_.pairs_rows ? "1" : "numbers above 0 up to 1");
    }
    rope_dim_ = static_cast<uint32_t>(share * head_dim_);
    Add("rope.dimension_count", rope_dim_);
    Add("rope.freq_base", Base());
    if (windowed_) {
      Add("rope.freq_base_swa", windowed_->Number("rope_theta"));
    } else if (config_.Has("rope_local_base_freq")) {
      Add("rope.freq_base_swa", config_.Number("rope_local_base_freq"));
    }
  }

  std::vector<GgufContent::Tensor> WriteYarn() {
    const double factor = rope_->Number("factor");
    Add("rope.scaling.type", "yarn");
    Add("rope.scaling.factor", factor);
    Add("rope.scaling.original_context_length", rope_->Count("original_max_position_embeddings"));
    if (rope_->Has("beta_fast")) Add("rope.scaling.yarn_beta_fast", rope_->Number("beta_fast"));
    if (rope_->Has("beta_slow")) Add("rope.scaling.yarn_beta_slow", rope_->Number("beta_slow"));
    if (rope_->Has("attention_factor")) {
      Add("rope.scaling.yarn_attn_factor", rope_->Number("attention_factor"));
    }
    return {};
  }

  // Llama 3.1: low frequencies are divided by the factor, high ones stay, those between are mixed.
  GgufContent::Tensor Llama3Factors() const {
    const double factor = rope_->Number("factor");
    const double low = rope_->NumberOr("low_freq_factor", 1.0);
    const double high = rope_->NumberOr("high_freq_factor", 4.0);
    const double original = rope_->CountOr("original_max_position_embeddings", 8192);
    if (!(factor > 0 && low > 0 && high > low)) {
      throw MakeError(ErrorCode::kCorrupt,
                      "{}: factor is {}, low_freq_factor {} and high_freq_factor {}; positive numbers are "
                      "expected, the last above the one before",
                      rope_->Name(), factor, low, high);
    }
    std::vector<float> factors;
    for (uint32_t i = 0; i < rope_dim_ / 2; ++i) {
      const auto frequency = static_cast<float>(1.0 / std::pow(Base(), 2.0 * i / rope_dim_));
      const double wavelength = 2 * std::numbers::pi / static_cast<double>(frequency);
      const double mix = (original / wavelength - low) / (high - low);
      double divisor = 1 / ((1 - mix) / factor + mix);
      if (wavelength < original / high) divisor = 1;
      if (wavelength > original / low) divisor = factor;
      factors.push_back(static_cast<float>(divisor));
    }
    return Vector("rope_freqs.weight", factors);
  }

  // LongRoPE: factors for contexts up to the original length, and beyond it.
  std::vector<GgufContent::Tensor> WriteLongRope() {
    const uint32_t context = config_.Count("max_position_embeddings");
    const uint32_t original = rope_->Has("original_max_position_embeddings")
                                  ? rope_->Count("original_max_position_embeddings")
                                  : config_.Count("original_max_position_embeddings");
    const double stretch = static_cast<double>(context) / original;
    Add("rope.scaling.type", "longrope");
    Add("rope.scaling.original_context_length", original);
    Add("rope.scaling.attn_factor",
        stretch > 1 ? std::sqrt(1 + std::log(stretch) / std::log(original)) : 1.0);
    return {Vector("rope_factors_long.weight", Factors("long_factor")),
            Vector("rope_factors_short.weight", Factors("short_factor"))};
  }

  std::vector<float> Factors(const char* key) const {
    const nlohmann::json* list = rope_->Find(key);
    const bool numbers = list != nullptr && list->is_array() &&
                         std::ranges::all_of(*list, [](const auto& number) { return number.is_number(); });
    if (!numbers || list->size() != rope_dim_ / 2) {
      throw MakeError(ErrorCode::kCorrupt, "{}: {} is no list of {} numbers, one for each rotated pair",
                      rope_->Name(), key, rope_dim_ / 2);
    }
    return list->get<std::vector<float>>();
  }

  static GgufContent::Tensor Vector(const char* name, const std::vector<float>& values) {
    GgufContent::Tensor tensor{name, TensorType::kF32, {values.size()}, {}, {}};
    tensor.made.resize(values.size() * sizeof(float));
    std::memcpy(tensor.made.data(), values.data(), tensor.made.size());
    return tensor;
  }

  const JsonObject& config_;
  const Family& family_;
  const uint32_t head_dim_;
  GgufWriter& writer_;
  std::optional<JsonObject> rope_;
  std::optional<JsonObject> windowed_;
  uint32_t rope_dim_ = 0;
};

}  // namespace

std::vector<GgufContent::Tensor> WriteRope(const FolderConfig& config, GgufWriter& writer) {
  return RopeWriter(config, writer).Write();
}

}  // namespace throng::model
