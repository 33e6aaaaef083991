// From a row of logits to a token: a pure function of the row, the history and the settings. The filters run
// in this order:
//   1. mask: tokens that the constraint forbids are out; NaN counts as out
//   2. rules (logit_rules.h) and the repetition penalty, in this order: biases are added; the repetition
//      penalty divides the logit of a token that occurs in the history if positive, else multiplies it; the
//      frequency and presence penalties are subtracted; ends of the answer are out before its least length
//   3. temperature 0, or top-p 0: the largest logit wins, of equal ones the lowest id, and nothing below
//      applies
//   4. top-k: the k largest logits stay, of equal ones the lowest ids
//   5. temperature: probabilities are softmax(logits / temperature) over what is left, as integers with
//      2^40 for the most likely token (token_weights.h)
//   6. top-p: the shortest run of the most likely tokens whose probabilities reach top_p stays
//   7. min-p: tokens less likely than min_p times the most likely one are out
//   8. draw: by the inverse of the cumulative distribution, with random number `token_index` of the seed's
//      stream
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "engine/sampling/logit_rules.h"
#include "engine/sampling/token_weights.h"
#include "llm/llm.h"
#include "model/transformer.h"

namespace throng::engine {

// Throws kInvalid, with one sentence, for settings out of range.
void ValidateSampling(const llm::Sampling& sampling);
void ValidateRules(const LogitRules& rules, size_t vocab);

// What a transformer that draws itself needs to draw token `token_index` of an answer as Sample does, where
// nothing changes the logits.
model::Draw DrawOf(const llm::Sampling& sampling, int token_index, std::span<const uint64_t> mask);

// Holds scratch memory only: use one per thread.
class Sampler {
 public:
  // logits: [vocab].  mask: one bit per token, bit t % 64 of word t / 64, set if allowed; empty: all are.
  // history: the tokens of the prompt and of the answer so far, of which it has the last token_index.
  // Returns -1 if no token is left.
  int32_t Sample(std::span<const float> logits, std::span<const uint64_t> mask,
                 std::span<const int32_t> history, const llm::Sampling& sampling, int token_index,
                 const LogitRules& rules = {});

 private:
  std::span<const float> Changed(std::span<const float> logits, std::span<const int32_t> history,
                                 float repetition_penalty, const LogitRules& rules, int num_answer);
  void Penalise(std::span<const int32_t> history, float penalty);
  std::span<const uint64_t> TopK(std::span<const float> logits, std::span<const uint64_t> mask, int k);
  uint64_t Weigh(std::span<const float> logits, std::span<const uint64_t> mask, float temperature);
  // Of the tokens with a weight of at least `least`, from the sum of all weights and 64 random bits.
  int32_t DrawById(uint64_t sum, uint64_t least, uint64_t random);
  int32_t DrawFromTopP(double p, uint64_t sum, uint64_t least, uint64_t random);
  uint64_t LikelyLowest(uint64_t left_out);
  WeighedToken Reach(uint64_t wanted, uint64_t sum);
  WeighedToken ReachAmongAll(uint64_t wanted, uint64_t lowest);

  std::vector<float> changed_;
  std::vector<bool> seen_;  // by token: its logit is penalised; all false between calls
  std::vector<std::pair<float, int32_t>> ranked_;
  std::vector<uint64_t> top_k_;      // a mask
  std::vector<uint64_t> weights_;    // by token
  std::vector<uint64_t> sums_;       // of weights_, by block of 64 tokens
  std::vector<uint64_t> bins_;       // sums of the weights that top-p may keep, by size of the weight
  std::vector<WeighedToken> front_;  // those of one bin
};

}  // namespace throng::engine
