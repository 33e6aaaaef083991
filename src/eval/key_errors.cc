#include "eval/key_errors.h"

#include <cmath>
#include <cstring>
#include <memory>

#include "attention/key_bias.h"
#include "kv/codec_table.h"
#include "kv/synthetic/synthetic_kv.h"

namespace throng::eval {
namespace {

constexpr int kHeadDim = 128;
constexpr kv::SampleOptions kOptions = {.num_tokens = 512, .num_heads = 4, .head_dim = kHeadDim};

constexpr BiasCase kCases[] = {
    {"300 slow", 300.0, 60}, {"300 middle", 300.0, 22}, {"300 fast", 300.0, 2},
    {"900 slow", 900.0, 60}, {"900 middle", 900.0, 22}, {"900 fast", 900.0, 2},
};

struct alignas(64) Line {
  uint8_t bytes[64];
};

std::unique_ptr<Line[]> Lines(size_t bytes) { return std::make_unique<Line[]>(bytes / sizeof(Line) + 1); }

// Sums of one query's errors.
class RowErrors {
 public:
  void Add(double error) {
    sum_ += error;
    squares_ += error * error;
    ++count_;
  }
  double Variance() const { return std::max(0.0, squares_ / count_ - (sum_ / count_) * (sum_ / count_)); }

 private:
  double sum_ = 0.0, squares_ = 0.0;
  int count_ = 0;
};

// The bias of the sample's heads, as attention adds it; null where it is 0.
std::shared_ptr<const attention::KeyBias> BiasOf(const kv::KvSample& sample) {
  const attention::Rotation rotation{kv::SampleFrequencies(kHeadDim)};
  const attention::BiasOfLayer layer{std::vector<float>(sample.bias.begin(), sample.bias.end()),
                                     std::vector<double>(kOptions.num_heads, 0.0), &rotation};
  return attention::MakeKeyBias({&layer, 1}, kOptions.num_tokens);
}

double Dot(const double* query, const float* key) {
  double dot = 0.0;
  for (int i = 0; i < kHeadDim; ++i) dot += query[i] * key[i];
  return dot / std::sqrt(kHeadDim);
}

double Dot(const double* query, const double* key) {
  double dot = 0.0;
  for (int i = 0; i < kHeadDim; ++i) dot += query[i] * key[i];
  return dot / std::sqrt(kHeadDim);
}

// sample: keys as they are; stored: the same, or without their bias, which is then added to the scores.
LogitError Measure(const kv::Codec& codec, const kv::KvSample& sample, const kv::KvSample& stored) {
  const bool adds = &stored != &sample;
  const auto bias = adds ? BiasOf(sample) : nullptr;
  const size_t rows = static_cast<size_t>(kOptions.num_queries);
  const float scale = 1.0f / std::sqrt(static_cast<float>(kHeadDim));
  const auto page = Lines(codec.Bytes(kv::Part::kKeys));
  const auto prepared = Lines(rows * codec.QueryBytes());
  std::vector<float> block(static_cast<size_t>(kv::kPageTokens) * kHeadDim), decoded(block.size());
  std::vector<float> scores(rows * kv::kPageTokens);
  LogitError total;
  for (size_t head = 0; head < static_cast<size_t>(kOptions.num_heads); ++head) {
    const double* queries = sample.queries.data() + head * rows * kHeadDim;
    std::vector<float> bias_rows(adds ? rows * (*bias)[0].heads[head].RowSize() : 0);
    for (size_t r = 0; r < rows; ++r) {
      float query[kHeadDim], scaled[kHeadDim];
      for (int i = 0; i < kHeadDim; ++i) query[i] = static_cast<float>(queries[r * kHeadDim + i]);
      for (int i = 0; i < kHeadDim; ++i) scaled[i] = query[i] * scale;
      codec.PrepareQuery(scaled, prepared[0].bytes + r * codec.QueryBytes());
      if (!adds) continue;
      const attention::HeadKeyBias& of_head = (*bias)[0].heads[head];
      PrepareKeyBias(of_head, query, scale, bias_rows.data() + r * of_head.RowSize());
    }
    std::vector<RowErrors> of_decoded(rows), of_score(rows);
    for (int first = 0; first + kv::kPageTokens <= kOptions.num_tokens; first += kv::kPageTokens) {
      const size_t at =
          (head * static_cast<size_t>(kOptions.num_tokens) + static_cast<size_t>(first)) * kHeadDim;
      for (size_t i = 0; i < block.size(); ++i) block[i] = static_cast<float>(stored.keys[at + i]);
      codec.Encode(kv::Part::kKeys, block.data(), page[0].bytes);
      codec.Decode(kv::Part::kKeys, page[0].bytes, decoded.data());
      codec.Score(page[0].bytes, prepared[0].bytes, static_cast<int>(rows), scores.data());
      if (adds) {
        AddKeyBias((*bias)[0].heads[head], first / kv::kPageTokens, bias_rows.data(), static_cast<int>(rows),
                   scores.data());
      }
      for (size_t r = 0; r < rows; ++r) {
        const double* query = queries + r * kHeadDim;
        for (size_t t = 0; t < kv::kPageTokens; ++t) {
          of_decoded[r].Add(Dot(query, decoded.data() + t * kHeadDim) -
                            Dot(query, stored.keys.data() + at + t * kHeadDim));
          of_score[r].Add(scores[r * kv::kPageTokens + t] -
                          Dot(query, sample.keys.data() + at + t * kHeadDim));
        }
      }
    }
    for (size_t r = 0; r < rows; ++r) {
      total.decoded += of_decoded[r].Variance();
      total.score += of_score[r].Variance();
    }
  }
  const double count = static_cast<double>(rows) * kOptions.num_heads;
  return {std::sqrt(total.decoded / count), std::sqrt(total.score / count)};
}

}  // namespace

std::span<const BiasCase> BiasCases() { return kCases; }

std::vector<KeyErrors> MeasureKeyErrors(std::span<const std::string> codecs) {
  const kv::KvSample unbiased = kv::MakeKvSample(kOptions);
  std::vector<KeyErrors> results;
  for (const std::string& spec : codecs) results.push_back({spec, {}, {}, {}});
  for (KeyErrors& result : results) {
    result.unbiased = Measure(*kv::ParseCodec(result.kv, kHeadDim), unbiased, unbiased);
  }
  for (const BiasCase& bias : kCases) {
    kv::SampleOptions options = kOptions;
    options.key_bias = bias.length;
    options.bias_pair = bias.pair;
    const kv::KvSample sample = kv::MakeKvSample(options);
    for (KeyErrors& result : results) {
      const auto codec = kv::ParseCodec(result.kv, kHeadDim);
      result.whole.push_back(Measure(*codec, sample, sample));
      result.without.push_back(Measure(*codec, sample, unbiased));
    }
  }
  return results;
}

}  // namespace throng::eval
