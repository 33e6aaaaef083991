// What a codec does to the logits of keys with a large bias, on synthetic keys and queries, without a model.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace throng::eval {

// A bias of the key projection: its length in each of two RoPE pairs of a head of 128 elements, and the first
// of these. Over a page of 64 tokens, the pairs turn by half a degree (slow), 160 degrees (middle) or 7 times
// around (fast).
struct BiasCase {
  const char* name;
  double length;
  int pair;
};
std::span<const BiasCase> BiasCases();

// Standard deviations of the errors of logits q . k / sqrt(128) about each query's mean error, which no
// softmax sees.
struct LogitError {
  double decoded = 0.0;  // exact products with the decoded keys: what encoding does
  double score = 0.0;    // the codec's own products, in which queries are rounded too
};

struct KeyErrors {
  std::string kv;
  LogitError unbiased;            // the same keys without a bias
  std::vector<LogitError> whole;  // [BiasCases()], pages hold keys with their bias
  std::vector<LogitError>
      without;  // [BiasCases()], pages lack the bias, attention adds it (attention/key_bias.h)
};

// codecs: of the table. Throws kInvalid for others.
std::vector<KeyErrors> MeasureKeyErrors(std::span<const std::string> codecs);

}  // namespace throng::eval
