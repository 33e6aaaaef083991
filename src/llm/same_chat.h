// What every backend with a model does alike with a request, so that the same model gives the same answer
// here and behind a server.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "llm/llm.h"

namespace throng::llm {

// The seed of a call's random choices: 31 bits, as servers in many languages take no more.
inline uint64_t SamplingSeed(const Request& request) {
  const CallKey& key = request.key;
  return CounterRng(request.sampling.seed, key.agent, key.step, key.call).At(0) >> 33;
}

struct ChatTurn {
  const char* role;  // "user" or "assistant"
  std::string content;
};

// The chat after the system message. An answer that was refused follows the prompt, then why; roles
// alternate, which many templates demand.
inline std::vector<ChatTurn> TurnsOf(const Request& request, std::string prompt) {
  if (!request.refused) return {{"user", std::move(prompt)}};
  if (request.refused->answer.empty()) return {{"user", std::move(prompt) + "\n\n" + request.refused->why}};
  return {
      {"user", std::move(prompt)}, {"assistant", request.refused->answer}, {"user", request.refused->why}};
}

}  // namespace throng::llm
