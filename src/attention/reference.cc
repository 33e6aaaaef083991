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

// Appends the decoded rows of one page to keys and values, [tokens, head_dim].
void DecodePage(const kv::Codec& keys_codec, const kv::Codec& values_codec, kv::PageView page, int head_dim,
                std::vector<float>& keys, std::vector<float>& values) {
  const size_t size = static_cast<size_t>(kPageTokens) * head_dim;
  keys.resize(keys.size() + size);
  values.resize(values.size() + size);
  keys_codec.Decode(Part::kKeys, page.keys, keys.data() + keys.size() - size);
  values_codec.Decode(Part::kValues, page.values, values.data() + values.size() - size);
}

void AttendToken(const AttentionJob& job, int token, const std::vector<float>& keys,
                 const std::vector<float>& values) {
  const int head_dim = job.cache->Layout().head_dim;
  const int position = job.cache->NumTokens() + token;
  int begin = job.window > 0 ? std::max(0, position - job.window + 1) : 0;
  if (job.chunk > 0) begin = position - position % job.chunk;
  const double threshold = SasThreshold(position + 1 - begin);
  const auto exponential = [&](double x) {
    return job.softmax == SoftmaxKind::kSas ? Sas(x, threshold) : std::exp(-x);
  };
  for (int g = 0; g < job.group; ++g) {
    const float* query = job.queries + token * job.query_stride + static_cast<size_t>(g) * head_dim;
    std::vector<double> scores(position + 1 - begin);
    for (int t = begin; t <= position; ++t) {
      double dot = 0.0;
      for (int i = 0; i < head_dim; ++i) dot += static_cast<double>(query[i]) * keys[t * head_dim + i];
      if (job.key_bias != nullptr) dot += KeyBiasReference(*job.key_bias, query, t);
      scores[t - begin] = dot * job.scale;
      if (job.score_cap > 0) {
        scores[t - begin] = job.score_cap * std::tanh(scores[t - begin] / job.score_cap);
      }
    }
    // A learned sink is the first score, whose probability relative to itself is 1.
    double max = job.sinks != nullptr ? job.sinks[g] : -std::numeric_limits<double>::infinity();
    double sum = job.sinks != nullptr ? 1.0 : 0.0;
    std::vector<double> out(head_dim);
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
        for (int i = 0; i < head_dim; ++i) out[i] += p * values[t * head_dim + i];
      }
      max = new_max;
      first = end;
    }
    float* to = job.out + token * job.out_stride + static_cast<size_t>(g) * head_dim;
    for (int i = 0; i < head_dim; ++i) to[i] = static_cast<float>(out[i] / sum);
  }
}

}  // namespace

void AttendReference(const AttentionJob& job) {
  const kv::BlockLayout& layout = job.cache->Layout();
  const kv::PageSpec& page = layout.At(job.layer, job.kv_head);
  for (int token = job.first_token; token < job.first_token + job.num_tokens; ++token) {
    const int own_block = (job.cache->NumTokens() + token) / kPageTokens;
    std::vector<float> keys, values;
    for (int block = 0; block < own_block; ++block) {
      const kv::Form form = layout.window.Seen(block, own_block);
      DecodePage(page.Keys(form), page.Values(form), job.cache->Sealed(job.layer, job.kv_head, block, form),
                 layout.head_dim, keys, values);
    }
    DecodePage(*page.open_keys, *page.open_values, job.cache->Open(job.layer, job.kv_head, own_block),
               layout.head_dim, keys, values);
    AttendToken(job, token, keys, values);
  }
}

}  // namespace throng::attention
