// What prompts of earlier requests began with: a prefix cache of texts, for backends without a model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_set>
#include <vector>

#include "llm/llm.h"

namespace throng::llm {

// A prompt is the system message and the prompt. Remembers 8 bytes or so per step of a prompt that is new.
class PromptBeginnings {
 public:
  // Hashes of the first 1, 2, ... steps of so many bytes, as far as they are whole.
  static std::vector<uint64_t> Of(const Request& request, size_t step);

  // How many steps an earlier prompt began with.
  size_t Known(std::span<const uint64_t> beginnings) const;
  void Add(std::span<const uint64_t> beginnings) { known_.insert(beginnings.begin(), beginnings.end()); }

 private:
  std::unordered_set<uint64_t> known_;
};

}  // namespace throng::llm
