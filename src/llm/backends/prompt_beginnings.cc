#include "llm/backends/prompt_beginnings.h"

#include <xxhash.h>

#include <string>

namespace throng::llm {

std::vector<uint64_t> PromptBeginnings::Of(const Request& request, size_t step) {
  const std::string text = request.system + '\0' + request.prompt;
  std::vector<uint64_t> beginnings;
  uint64_t hash = 0;
  for (size_t end = step; end <= text.size(); end += step) {
    hash = XXH3_64bits_withSeed(text.data() + end - step, step, hash);
    beginnings.push_back(hash);
  }
  return beginnings;
}

size_t PromptBeginnings::Known(std::span<const uint64_t> beginnings) const {
  size_t count = 0;
  while (count < beginnings.size() && known_.contains(beginnings[count])) ++count;
  return count;
}

}  // namespace throng::llm
