// Gives calls of known sizes prompts of these sizes, for servers that read them, and compares what the server
// counts with what was recorded.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "llm/decorators/decorator.h"
#include "trace/filler_words.h"

namespace throng::trace {

// How the tokens that a server counted differ from those recorded.
struct TokenDifferences {
  uint64_t prompts = 0;       // calls whose prompt had another number of tokens
  uint64_t answers = 0;       // calls whose answer had another number
  uint64_t cut = 0;           // of these, answers cut short by a limit of the server's, such as its context
  int64_t prompt_tokens = 0;  // counted less recorded, in all
  int64_t output_tokens = 0;
};

class FillerLlm : public llm::Decorator {
 public:
  struct Options {
    // Share of each prompt that begins all prompts of its function.
    double shared = 0;
    // Texts of different nonces share no beginnings: so a run finds nothing of an earlier one in a server's
    // prefix cache.
    uint64_t nonce = 0;
    std::function<void(uint64_t answered)> on_progress{};  // with each answer
  };

  // words must outlive it.
  FillerLlm(std::unique_ptr<llm::Llm> inner, const FillerWords& words, Options options)
      : Decorator(std::move(inner)), words_(words), options_(std::move(options)) {}

  // The request has known_prompt_tokens and known_output_tokens.
  void Submit(llm::Request request) override;
  // An answer without text is one, if tokens were made: a model may have only thought.
  void Wait(std::vector<llm::Completion>& done, double seconds = kForever) override;

  const TokenDifferences& Differences() const { return differences_; }

 private:
  struct Sizes {
    int prompt;
    int output;
  };

  const FillerWords& words_;
  Options options_;
  std::unordered_map<uint64_t, Sizes> recorded_;  // by id, of calls in flight
  TokenDifferences differences_;
  uint64_t answered_ = 0;
};

}  // namespace throng::trace
