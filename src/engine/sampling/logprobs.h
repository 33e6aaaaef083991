// Log-probabilities of tokens as the model gives them: of softmax(logits), before biases, penalties,
// temperature, filters and constraints.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace throng::engine {

struct TokenLogprob {
  int32_t token;
  float logprob;  // natural logarithm; at least kLeastLogprob
  bool operator==(const TokenLogprob&) const = default;
};

// What probabilities of 0 are given as, which JSON could not hold otherwise.
inline constexpr float kLeastLogprob = -9999.0f;

struct TokenLogprobs {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top{};  // the most likely tokens, of equal ones the lowest ids first
  size_t text_begin = 0;            // where the token begins in the answer's text, in bytes; 0 in prompts
  bool operator==(const TokenLogprobs&) const = default;
};

// Holds scratch memory only: use one per thread.
class LogprobMaker {
 public:
  // logits: [vocab]. num_top: the length of `top`, at most the vocabulary's.
  TokenLogprobs Make(std::span<const float> logits, int32_t token, int num_top);

 private:
  std::vector<uint64_t> weights_, sums_;  // token_weights.h
  std::vector<std::pair<float, int32_t>> ranked_;
};

}  // namespace throng::engine
