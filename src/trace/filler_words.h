// Texts of given numbers of tokens for a server whose tokenizer is not known here. What they say does not
// matter, only what they cost.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "llm/llm.h"

namespace throng::trace {

class FillerWords {
 public:
  // Learns from the tokens that the server counts in short prompts which words cost the same there, the
  // fewest that can be had: with most tokenizers one token each. Takes two calls if all words do, about a
  // hundred otherwise. Throws what the calls fail with, and kUnsupported if the server does not count the
  // tokens of prompts, or counts them in a way that no sum of words explains.
  explicit FillerWords(llm::Llm& server);

  // A prompt of so many tokens as the server counts them, with what its chat template adds, exact to half a
  // word; the shortest possible if that has more. Texts with the same `beginning` share their first `shared`
  // tokens; after them, texts with different seeds differ.
  std::string Text(int tokens, int shared, uint64_t beginning, uint64_t seed) const;

  int TokensPerWord() const { return tokens_per_word_; }
  int LeastTokens() const { return least_tokens_; }  // of a text without words

 private:
  int WordsIn(int tokens) const;

  std::vector<std::string> words_;  // each with the space before it
  int tokens_per_word_ = 1;
  int least_tokens_ = 0;
};

}  // namespace throng::trace
