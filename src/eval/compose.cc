#include "eval/compose.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "base/text/key_values.h"
#include "kv/gear/gear_reference.h"
#include "kv/synthetic/synthetic_kv.h"

namespace throng::eval {
namespace {

using kv::kPageTokens;
using kv::Part;

constexpr uint64_t kSignSeed = 0x726f74;
constexpr uint64_t kStartStream = 101;
constexpr double kShares[] = {1.0, 0.92, 0.84, 0.76, 0.68, 0.6};  // shares of a range that clip tries

// The Walsh-Hadamard transform with orthonormal rows, in blocks of the powers of two that add up to `size`.
void Hadamard(double* row, int size) {
  while (size > 0) {
    int block = 1;
    while (2 * block <= size) block *= 2;
    for (int half = 1; half < block; half *= 2) {
      for (int i = 0; i < block; ++i) {
        if ((i & half) != 0) continue;
        const double a = row[i], b = row[i + half];
        row[i] = a + b;
        row[i + half] = a - b;
      }
    }
    for (int i = 0; i < block; ++i) row[i] /= std::sqrt(static_cast<double>(block));
    row += block;
    size -= block;
  }
}

// Rounds factors to integers of `bits` bits, with one scale for each column.
void RoundFactors(std::vector<double>& factors, int rank, int bits) {
  for (int r = 0; r < rank; ++r) {
    double largest = 0.0;
    for (size_t i = r; i < factors.size(); i += rank) largest = std::max(largest, std::abs(factors[i]));
    const double scale = largest / ((1 << (bits - 1)) - 1);
    if (scale == 0.0) continue;
    for (size_t i = r; i < factors.size(); i += rank) factors[i] = std::nearbyint(factors[i] / scale) * scale;
  }
}

// Codes between low and high, as their values; the elements that are kept apart keep theirs.
double Quantize(const std::vector<double>& x, const std::vector<bool>& apart, int bits, double low,
                double high, std::vector<double>& out) {
  const double levels = (1 << bits) - 1;
  const double zero = kv::RoundToHalf(low);
  const double scale = kv::RoundToHalf((high - low) / levels);
  double error = 0.0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!apart.empty() && apart[i]) {
      out[i] = x[i];
      continue;
    }
    const double code = scale > 0.0 ? std::clamp(std::nearbyint((x[i] - zero) / scale), 0.0, levels) : 0.0;
    out[i] = zero + code * scale;
    error += (out[i] - x[i]) * (out[i] - x[i]);
  }
  return error;
}

class Compose : public ComposeCodec {
 public:
  Compose(std::string name, const ComposeOptions& options, int head_dim)
      : name_(std::move(name)), options_(options), head_dim_(head_dim), signs_(head_dim) {
    for (int i = 0; i < head_dim; ++i) signs_[i] = CounterRng(kSignSeed).At(i) & 1 ? 1.0 : -1.0;
  }

  std::string Name() const override { return name_; }
  kv::ByteCounts Count(Part) const override { return {.codes = Elements() * sizeof(float)}; }

  double Bits(Part part) const override {
    const size_t outliers = std::lround(options_.sparsity * static_cast<double>(Elements()));
    // As in the codecs of the table: f16 scale and zero point, 2 bytes of position and an f16 per outlier,
    // factors with one f32 scale for each pair of columns if they have 8 bits.
    const double scales = 4.0 * static_cast<double>(Elements()) / GroupSize(part);
    const double factors = options_.rank * ((kPageTokens + head_dim_) * options_.factor_bits / 8.0 +
                                            (options_.factor_bits == 8 ? 4.0 : 0.0));
    return options_.bits + 8.0 * (scales + 4.0 * static_cast<double>(outliers) + factors) / Elements();
  }

  void Encode(Part part, const float* block, uint8_t* encoded) const override {
    std::vector<double> x(block, block + Elements());
    for (double& value : x) value = std::isfinite(value) ? std::clamp(value, -65504.0, 65504.0) : 0.0;
    if (options_.rotate) {
      for (int t = 0; t < kPageTokens; ++t) {
        for (int i = 0; i < head_dim_; ++i) x[t * head_dim_ + i] *= signs_[i];
        Hadamard(&x[t * head_dim_], head_dim_);
      }
    }
    x = Approximate(part, x);
    if (options_.rotate) {
      for (int t = 0; t < kPageTokens; ++t) {
        Hadamard(&x[t * head_dim_], head_dim_);
        for (int i = 0; i < head_dim_; ++i) x[t * head_dim_ + i] *= signs_[i];
      }
    }
    auto* out = reinterpret_cast<float*>(encoded);
    for (size_t i = 0; i < x.size(); ++i) out[i] = static_cast<float>(x[i]);
  }
  void Decode(Part, const uint8_t* encoded, float* block) const override {
    std::memcpy(block, encoded, Elements() * sizeof(float));
  }

  size_t QueryBytes() const override { return (head_dim_ * sizeof(float) + 63) / 64 * 64; }
  void PrepareQuery(const float* query, void* prepared) const override {
    std::memcpy(prepared, query, head_dim_ * sizeof(float));
  }
  void Score(const uint8_t* keys, const void* prepared, int num_rows, float* scores) const override {
    const auto* rows = reinterpret_cast<const float*>(keys);
    for (int r = 0; r < num_rows; ++r) {
      const auto* query =
          reinterpret_cast<const float*>(static_cast<const uint8_t*>(prepared) + r * QueryBytes());
      for (int t = 0; t < kPageTokens; ++t) {
        float sums[8] = {};  // independent ones, so that the compiler can keep them in a vector
        for (int i = 0; i < head_dim_; i += 8) {
          for (int j = 0; j < 8; ++j) sums[j] += query[i + j] * rows[t * head_dim_ + i + j];
        }
        float sum = 0.0f;
        for (const float part : sums) sum += part;
        scores[r * kPageTokens + t] = sum;
      }
    }
  }
  void Mix(const uint8_t* values, const float* probabilities, const float* rescale, int num_rows,
           float* out) const override {
    const auto* rows = reinterpret_cast<const float*>(values);
    for (int r = 0; r < num_rows; ++r) {
      float* const to = out + static_cast<size_t>(r) * head_dim_;
      for (int i = 0; i < head_dim_; ++i) to[i] *= rescale[r];
      for (int t = 0; t < kPageTokens; ++t) {
        const float weight = probabilities[r * kPageTokens + t];
        for (int i = 0; i < head_dim_; ++i) to[i] += weight * rows[t * head_dim_ + i];
      }
    }
  }

 private:
  size_t Elements() const { return static_cast<size_t>(kPageTokens) * head_dim_; }
  bool PerChannel(Part part) const { return part == Part::kKeys && !options_.token; }
  // The last group of a vector whose length is no multiple is shorter; the others are full.
  double GroupSize(Part part) const {
    const int length = PerChannel(part) ? kPageTokens : head_dim_;
    const int groups = (length + options_.group - 1) / options_.group;
    return static_cast<double>(length) / groups;
  }

  // D + S + L of x: [64, d].
  std::vector<double> Approximate(Part part, const std::vector<double>& x) const {
    const kv::TensorShape shape{1, kPageTokens, head_dim_};
    // MakeGroups groups the channels of a token for values only.
    const std::vector<kv::Group> groups = kv::MakeGroups(PerChannel(part) ? Part::kKeys : Part::kValues,
                                                         kv::Backbone::kKivi, options_.group, shape);
    std::vector<bool> outlier(x.size());
    const auto budget = static_cast<size_t>(std::lround(options_.sparsity * static_cast<double>(x.size())));
    if (budget > 0) outlier = kv::BudgetOutliers(groups, x, budget);
    std::vector<double> result(x.size());
    for (const kv::Group& group : groups) QuantizeGroup(x, outlier, group, result);
    if (options_.rank > 0) AddLowRank(x, result);
    // An outlier is stored as its difference to the rest.
    for (size_t i = 0; i < x.size(); ++i) {
      if (outlier[i]) result[i] = x[i];
    }
    return result;
  }

  void QuantizeGroup(const std::vector<double>& x, const std::vector<bool>& outlier, const kv::Group& group,
                     std::vector<double>& result) const {
    std::vector<double> elements, best(group.size()), tried(group.size());
    std::vector<bool> apart;
    double low = INFINITY, high = -INFINITY;
    for (const size_t i : group) {
      elements.push_back(x[i]);
      apart.push_back(outlier[i]);
      if (outlier[i]) continue;
      low = std::min(low, x[i]);
      high = std::max(high, x[i]);
    }
    if (low > high) low = high = 0.0;
    double least = INFINITY;
    for (const double share : kShares) {
      const double cut = (1.0 - share) / 2.0 * (high - low);
      const double error = Quantize(elements, apart, options_.bits, low + cut, high - cut, tried);
      if (error < least) {
        least = error;
        best = tried;
      }
      if (!options_.clip) break;
    }
    for (size_t j = 0; j < group.size(); ++j) result[group[j]] = best[j];
  }

  void AddLowRank(const std::vector<double>& x, std::vector<double>& result) const {
    std::vector<double> residual(x.size());
    for (size_t i = 0; i < x.size(); ++i) residual[i] = x[i] - result[i];
    std::vector<double> start(static_cast<size_t>(head_dim_) * options_.rank);
    for (size_t i = 0; i < start.size(); ++i) start[i] = kv::SampleUniform(kStartStream, i);
    kv::Factors factors =
        kv::PowerIteration(residual, kPageTokens, head_dim_, options_.rank, 3, std::move(start));
    RoundFactors(factors.a, options_.rank, options_.factor_bits);
    RoundFactors(factors.b, options_.rank, options_.factor_bits);
    const std::vector<double> fit = kv::Multiply(factors, kPageTokens, head_dim_, options_.rank);
    for (size_t i = 0; i < x.size(); ++i) result[i] += fit[i];
  }

  const std::string name_;
  const ComposeOptions options_;
  const int head_dim_;
  std::vector<double> signs_;
};

}  // namespace

bool IsCompose(std::string_view spec) { return spec.substr(0, spec.find(':')) == kCompose; }

std::shared_ptr<const ComposeCodec> ParseCompose(std::string_view spec, int head_dim) {
  KeyValues parameters(fmt::format("codec {}", kCompose), SplitName(spec).values);
  ComposeOptions options;
  options.bits = parameters.Int("b", options.bits, 1, 8);
  options.group = parameters.Int("g", options.group, 8, kv::kMaxHeadDim);
  options.token = parameters.Int("token", 0, 0, 1) == 1;
  options.rotate = parameters.Int("rot", 0, 0, 1) == 1;
  options.clip = parameters.Int("clip", 0, 0, 1) == 1;
  options.rank = parameters.Int("r", 0, 0, kPageTokens / 4);
  options.factor_bits = parameters.Int("f", options.factor_bits, 8, 16);
  options.sparsity = parameters.Fraction("s", 0.0, 0.0, 0.2);
  parameters.CheckAllUsed();
  if (options.factor_bits != 8 && options.factor_bits != 16) {
    throw MakeError(ErrorCode::kInvalid, "codec {}: f={} must be 8 or 16", kCompose, options.factor_bits);
  }
  if (options.rank > head_dim) {
    throw MakeError(ErrorCode::kInvalid, "codec {}: r={} is above the head size {}", kCompose, options.rank,
                    head_dim);
  }
  return std::make_shared<Compose>(std::string(spec), options, head_dim);
}

}  // namespace throng::eval
