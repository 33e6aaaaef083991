// What the engine is asked, and what it answers: token ids in, token ids and text out. Chat templates and
// text prompts are the business of local_model.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kv/cache/page_file.h"
#include "llm/llm.h"

namespace throng::engine {

class Constraint;

struct EngineResult {
  uint64_t id = 0;
  llm::CallKey key;
  llm::FinishReason finish = llm::FinishReason::kStop;
  std::string text;             // without what a stop string cut off
  std::vector<int32_t> tokens;  // as sampled, an end token included
  int prompt_tokens = 0;
  int cached_prompt_tokens = 0;    // taken from the prefix cache when the request was first admitted
  int preemptions = 0;             // how often it was evicted and recomputed
  double queue_seconds = 0;        // from Submit to the first admission
  double first_token_seconds = 0;  // from Submit to the first token; 0 if there was none
  double total_seconds = 0;        // from Submit to the end
  std::optional<Error> error;      // set exactly when finish == kError
  // If the request wanted it and ran: its tokens, and the pages of all of them but the last. They count
  // against the KV budget until they go, and must go before the engine's pool.
  std::shared_ptr<const kv::SavedPages> pages;
};

struct EngineRequest {
  std::vector<int32_t> prompt;  // at least one token
  int max_tokens = 128;         // at least 1
  int priority = 0;             // smaller is served first; equal ones in order of arrival
  llm::CallKey key;             // keys the random choices, with sampling.seed
  llm::Sampling sampling;
  std::vector<std::string> stop;           // the text ends before the first of these
  std::shared_ptr<Constraint> constraint;  // null: any text
  // Set: an agent of Engine::ExpectNext asks, key.agent, and this is what for ("plan", "say").
  std::optional<std::string> purpose;
  bool ignore_end = false;  // go on after end-of-text tokens (benchmarks)
  // Pages to go on from, as far as the prompt begins with their tokens: those of another request, which may
  // be the start of several (a fork), or of a file. They must be of the engine's pool and model.
  std::shared_ptr<const kv::SavedPages> start;
  bool keep_pages = false;  // give them with the result

  // All callbacks run on the engine's thread, one at a time, and must be quick: the batch waits for them.
  // They may call Submit and Cancel.

  // New text of the answer: whole UTF-8 characters, never part of what a stop string cuts off.
  std::function<void(uint64_t id, std::string_view text)> on_text;
  // Exactly once for each request that Submit accepted.
  std::function<void(EngineResult result)> on_done;
  // Raw logits [vocab], before any mask, of which token number `index` of the answer is sampled (tests).
  std::function<void(int index, std::span<const float> logits)> on_logits;
};

}  // namespace throng::engine
