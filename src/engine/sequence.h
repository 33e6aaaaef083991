// A request in progress: its tokens, its cache, and the state of its answer.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "engine/lookup/prompt_lookup.h"
#include "engine/pooled_states.h"
#include "engine/prefix/next_use.h"
#include "engine/request.h"
#include "engine/sampling/constrain.h"
#include "engine/sampling/text_stream.h"
#include "kv/cache/sequence_cache.h"

namespace throng::engine {

using Clock = std::chrono::steady_clock;

struct Sequence {
  Sequence(uint64_t id, EngineRequest asked, kv::BlockPool& pool)
      : id(id), request(std::move(asked)), tokens(request.prompt), cache(pool), text(request.stop) {
    if (request.constraint != nullptr) matcher.emplace(request.constraint);
    if (request.thought_limit) thought.emplace(*request.thought_limit);
  }

  int NumPrompt() const { return static_cast<int>(request.prompt.size()); }
  int NumAnswer() const { return static_cast<int>(tokens.size()) - NumPrompt(); }
  // Whether each token of the prompt must go through the model, wherever its keys and values could be found.
  bool NeedsAllRows() const { return request.prompt_logprobs || request.pooling.has_value(); }
  bool WantsPromptLogprobs() const {
    return request.prompt_logprobs && prompt_logprobs.size() + 1 < request.prompt.size();
  }
  void SetRunning(bool runs) {
    is_running = runs;
    if (request.runs) *request.runs = runs;
  }
  // Tokens not in the cache yet: 1 while decoding, more in prefill and after a preemption.
  int NumPending() const { return static_cast<int>(tokens.size()) - cache.NumTokens(); }

  const uint64_t id;
  EngineRequest request;
  std::vector<int32_t> tokens;  // the prompt, then the answer
  kv::SequenceCache cache;      // holds the first tokens; empty while waiting
  std::optional<Matcher> matcher;
  TextStream text;                      // the answer's text
  std::optional<ThoughtWatch> thought;  // for request.thought_limit
  Guesses guesses;                      // of the tokens that follow, checked by the running forward pass
  std::vector<TokenLogprobs> logprobs;  // as in EngineResult
  std::vector<TokenLogprobs> prompt_logprobs;  // as in EngineResult, so far
  size_t logprobs_told = 0;                    // of `logprobs`, by on_logprobs
  PooledStates states;                         // for request.pooling

  std::optional<Asker> asker;  // for the prefix cache; set on arrival of an agent's request
  // The number of its first blocks that the prefix cache had at its admission, whether or not it could begin
  // there: others that begin alike part from it no earlier.
  size_t shared_blocks = 0;
  // Blocks whose rows the prefix cache wants before they are sealed: the first, and how many.
  int rows_begin = 0;
  int rows_count = 0;
  bool is_running = false;  // by SetRunning
  bool was_admitted = false;
  int cached_prompt_tokens = 0;
  int preemptions = 0;
  Clock::time_point submitted = Clock::now();
  Clock::time_point admitted;  // when first admitted
  Clock::time_point first_token;
};

// The order in which sequences are served: by priority, then by arrival (ids ascend).
struct ServedBefore {
  bool operator()(const Sequence* a, const Sequence* b) const {
    return std::pair(a->request.priority, a->id) < std::pair(b->request.priority, b->id);
  }
};

}  // namespace throng::engine
