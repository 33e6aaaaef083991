// From a row of logits to a token: a pure function of the row, the history and the settings. The filters run
// in this order:
//   1. mask: tokens that the constraint forbids are out; NaN counts as out
//   2. repetition penalty: divides the logit of a token that occurs in the history if positive, else
//      multiplies it
//   3. temperature 0: the largest logit wins, of equal ones the lowest id, and nothing below applies
//   4. top-k: the k largest logits stay, of equal ones the lowest ids
//   5. temperature: probabilities are softmax(logits / temperature) over what is left
//   6. top-p: the shortest run of the most likely tokens whose probabilities reach top_p stays
//   7. min-p: tokens less likely than min_p times the most likely one are out
//   8. draw: by the inverse of the cumulative distribution, with random number `token_index` of the seed's
//      stream
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llm/llm.h"

namespace throng::engine {

// Throws kInvalid, with one sentence, for settings out of range.
void ValidateSampling(const llm::Sampling& sampling);

// Holds scratch memory only: use one per thread.
class Sampler {
 public:
  // logits: [vocab].  mask: one bit per token, bit t % 64 of word t / 64, set if allowed; empty: all are.
  // history: the tokens of the prompt and of the answer so far.
  // Returns -1 if no token is left.
  int32_t Sample(std::span<const float> logits, std::span<const uint64_t> mask,
                 std::span<const int32_t> history, const llm::Sampling& sampling, int token_index);

 private:
  struct Candidate {
    float logit;
    int32_t id;
    double probability;
  };

  void Collect(std::span<const float> logits, std::span<const uint64_t> mask);
  void Penalise(std::span<const int32_t> history, float penalty);
  void KeepTopK(int k);
  void ComputeProbabilities(float temperature);
  void KeepTopP(double p);

  std::vector<Candidate> candidates_;
  std::vector<int32_t> positions_;  // index in candidates_ by token id; -1: absent
};

}  // namespace throng::engine
