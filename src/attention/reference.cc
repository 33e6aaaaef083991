#include "attention/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kv/open_codec.h"

namespace throng::attention {
namespace {

using kv::kPageTokens;
using kv::Part;

// Decoded rows: [tokens, key_dim] and [tokens, value_dim].
struct DecodedRows {
  std::vector<float> keys, values;
};

// Appends the rows of one page. values_codec: null where values are in the keys.
void DecodePage(const kv::LayerShape& shape, const kv::Codec* keys_codec, const kv::Codec* values_codec,
                kv::PageView page, DecodedRows& rows) {
  const auto key_dim = static_cast<size_t>(shape.key_dim), value_dim = static_cast<size_t>(shape.value_dim);
  std::vector<float> keys(kPageTokens * key_dim), values(kPageTokens * value_dim);
  keys_codec->Decode(Part::kKeys, page.keys, keys.data());
  if (values_codec != nullptr) {
    values_codec->Decode(Part::kValues, page.values, values.data());
  } else {
    for (size_t i = 0; i < values.size(); ++i) values[i] = keys[i / value_dim * key_dim + i % value_dim];
  }
  rows.keys.insert(rows.keys.end(), keys.begin(), keys.end());
  rows.values.insert(rows.values.end(), values.begin(), values.end());
}

void AttendToken(const AttentionJob& job, const kv::LayerShape& shape, int token, const DecodedRows& rows) {
  const auto key_dim = static_cast<size_t>(shape.key_dim), value_dim = static_cast<size_t>(shape.value_dim);
  const int position = job.cache->NumTokens() + token;
  const int index = token - job.first_token;
  int begin = job.window > 0 ? std::max(0, position - job.window + 1) : 0;
  if (job.chunk > 0) begin = position - position % job.chunk;
  const double threshold = SasThreshold(position + 1 - begin);
  const auto exponential = [&](double x) {
    return job.softmax == SoftmaxKind::kSas ? Sas(x, threshold) : std::exp(-x);
  };
  for (int g = 0; g < job.group; ++g) {
    const float* query = job.queries + index * job.query_stride + static_cast<size_t>(g) * key_dim;
    std::vector<double> scores(position + 1 - begin);
    for (int t = begin; t <= position; ++t) {
      const float* key = rows.keys.data() + static_cast<size_t>(t) * key_dim;
      double dot = 0.0;
      for (size_t i = 0; i < key_dim; ++i) dot += static_cast<double>(query[i]) * key[i];
      if (job.key_bias != nullptr) dot += KeyBiasReference(*job.key_bias, query, t);
      scores[t - begin] = dot * job.scale;
      if (job.score_cap > 0) {
        scores[t - begin] = job.score_cap * std::tanh(scores[t - begin] / job.score_cap);
      }
    }
    // A learned sink is the first score, whose probability relative to itself is 1.
    double max = job.sinks != nullptr ? job.sinks[g] : -std::numeric_limits<double>::infinity();
    double sum = job.sinks != nullptr ? 1.0 : 0.0;
    std::vector<double> out(value_dim);
    for (int first = begin; first <= position;) {
      const int end = std::min(position + 1, (first / kPageTokens + 1) * kPageTokens);
      const double new_max =
          std::max(max, *std::max_element(&scores[first - begin], &scores[end - begin - 1] + 1));
      const double rescale = new_max == max ? 1.0 : exponential(new_max - max);
      sum *= rescale;
      for (double& x : out) x *= rescale;
      for (int t = first; t < end; ++t) {
        const double p = exponential(new_max - scores[t - begin]);
        sum += p;
        const float* value = rows.values.data() + static_cast<size_t>(t) * value_dim;
        for (size_t i = 0; i < value_dim; ++i) out[i] += p * value[i];
      }
      max = new_max;
      first = end;
    }
    float* to = job.out + index * job.out_stride + static_cast<size_t>(g) * value_dim;
    for (size_t i = 0; i < value_dim; ++i) to[i] = static_cast<float>(out[i] / sum);
  }
}

}  // namespace

void AttendReference(const AttentionJob& job) {
  const kv::BlockLayout& layout = job.cache->Layout();
  const kv::PageSpec& page = layout.At(job.layer, job.kv_head);
  const kv::LayerShape& shape = layout.layers[static_cast<size_t>(job.layer)];
  for (int token = job.first_token; token < job.first_token + job.num_tokens; ++token) {
    const int own_block = (job.cache->NumTokens() + token) / kPageTokens;
    DecodedRows rows;
    for (int block = 0; block < own_block; ++block) {
      const kv::Form form = layout.window.Seen(block, own_block);
      const bool fine = form == kv::Form::kFine;
      DecodePage(shape, fine ? page.fine_keys : page.keys, fine ? page.fine_values : page.values,
                 job.cache->Sealed(job.layer, job.kv_head, block, form), rows);
    }
    DecodePage(shape, page.open_keys, page.open_values, job.cache->Open(job.layer, job.kv_head, own_block),
               rows);
    AttendToken(job, shape, token, rows);
  }
}

}  // namespace throng::attention
