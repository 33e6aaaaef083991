// What a request changes in the logits of its answer, beside llm::Sampling: parts of OpenAI's API that
// simulations do not have.
#pragma once

#include <cstdint>
#include <vector>

namespace throng::engine {

struct TokenBias {
  int32_t token;
  float bias;
};

// A pure function of the answer's tokens so far. The prompt's do not count, as in vLLM.
struct LogitRules {
  std::vector<TokenBias> bias{};   // added to the logits of these tokens
  float frequency_penalty = 0.0f;  // subtracted from a token's logit as often as the answer has it
  float presence_penalty = 0.0f;   // subtracted once if the answer has it
  int min_tokens = 0;              // the answer has at least so many before one of `ends`, or a stop string
  // Tokens that end the answer and are no part of its text. The engine adds the model's own.
  std::vector<int32_t> ends{};

  bool ChangesLogits(int num_answer) const {
    return !bias.empty() || frequency_penalty != 0 || presence_penalty != 0 || num_answer < min_tokens;
  }
};

}  // namespace throng::engine
