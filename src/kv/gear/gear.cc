#include "kv/gear/gear.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/text/key_values.h"
#include "kv/finite.h"
#include "kv/gear/gear_encode.h"
#include "kv/gear/gear_kernels.h"

namespace throng::kv {
namespace {

// The parameters that differ from the name's defaults: "g=32,r=2".
std::string Differences(const GearOptions& chosen, const GearOptions& usual) {
  std::string text;
  const auto add = [&text](const std::string& item) { text += (text.empty() ? "" : ",") + item; };
  if (chosen.rank != usual.rank) add(fmt::format("r={}", chosen.rank));
  if (chosen.sparsity != usual.sparsity) add(fmt::format("s={:.6g}%", 100.0 * chosen.sparsity));
  if (chosen.rounds != usual.rounds) add(fmt::format("rounds={}", chosen.rounds));
  if (chosen.group != usual.group) add(fmt::format("g={}", chosen.group));
  if (chosen.kcvt != usual.kcvt) add(fmt::format("kcvt={}", static_cast<int>(chosen.kcvt)));
  return text.empty() ? usual.name : std::string(usual.name) + ":" + text;
}

GearLayout LayoutOf(Part part, const GearOptions& options, int head_dim) {
  const bool whole = options.kcvt && part == Part::kValues;
  const int entries = static_cast<int>(std::lround(options.sparsity * kPageTokens * head_dim));
  return {part,         head_dim, options.bits,  whole ? head_dim : options.group,
          options.rank, entries,  options.rounds};
}

class Gear : public Codec {
 public:
  Gear(std::string name, const GearOptions& options, int head_dim)
      : name_(std::move(name)),
        head_dim_(head_dim),
        keys_(LayoutOf(Part::kKeys, options, head_dim)),
        values_(LayoutOf(Part::kValues, options, head_dim)),
        start_(GearStart(head_dim, options.rank)) {}

  std::string Name() const override { return name_; }
  ByteCounts Count(Part part) const override { return Layout(part).count; }

  void Encode(Part part, const float* block, uint8_t* encoded) const override {
    EncodeGear(Layout(part), start_, block, encoded);
  }
  void Decode(Part part, const uint8_t* encoded, float* block) const override {
    DecodeGear(Layout(part), encoded, block);
  }

  bool Accepts(Part part, const uint8_t* encoded) const override {
    const GearLayout& layout = Layout(part);
    for (int i = 0; i < layout.entries; ++i) {
      const GearSlots slots = layout.LoadSlots(encoded, i);
      if (GearSlot(slots.row) >= layout.rows || GearSlot(slots.lane) >= layout.lanes) return false;
    }
    return true;
  }

  size_t QueryBytes() const override { return RoundUp64(head_dim_ * sizeof(float)); }
  void PrepareQuery(const float* query, void* prepared) const override {
    CopyFinite(query, head_dim_, static_cast<float*>(prepared));
  }
  void Score(const uint8_t* keys, const void* prepared, int num_rows, float* scores) const override {
    ApplyGear(keys_, keys, static_cast<const float*>(prepared), QueryBytes() / sizeof(float), num_rows,
              nullptr, scores);
  }
  void Mix(const uint8_t* values, const float* probabilities, const float* rescale, int num_rows,
           float* out) const override {
    ApplyGear(values_, values, probabilities, kPageTokens, num_rows, rescale, out);
  }

 private:
  const GearLayout& Layout(Part part) const { return part == Part::kKeys ? keys_ : values_; }

  const std::string name_;
  const int head_dim_;
  const GearLayout keys_, values_;
  const std::vector<double> start_;  // of the power iteration
};

}  // namespace

std::shared_ptr<const Codec> MakeGear(GearOptions options, KeyValues& parameters, int head_dim) {
  const GearOptions usual = options;
  options.group = parameters.Int("g", usual.group, 16, kPageTokens);
  if (options.group != 16 && options.group != 32 && options.group != 64) {
    throw MakeError(ErrorCode::kInvalid, "codec {}: g={} must be 16, 32 or 64", usual.name, options.group);
  }
  options.kcvt = parameters.Int("kcvt", usual.kcvt, 0, 1) == 1;
  if (usual.rank > 0) {
    options.rank = parameters.Int("r", usual.rank, 1, kGearMaxRank);
    options.rounds = parameters.Int("rounds", usual.rounds, 0, kGearMaxRounds);
  }
  if (usual.sparsity > 0.0) {
    options.sparsity = parameters.Fraction("s", usual.sparsity, 0.0, kGearMaxSparsity);
  }
  return std::make_shared<Gear>(Differences(options, usual), options, head_dim);
}

}  // namespace throng::kv
