// The engine's requests and results: token ids in, token ids and text out. Chat templates and text prompts
// belong to local_model.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/sampling/logit_rules.h"
#include "engine/sampling/logprobs.h"
#include "engine/sampling/thought_limit.h"
#include "kv/cache/page_file.h"
#include "llm/llm.h"
#include "model/config.h"

namespace throng::engine {

class Constraint;
class Vocabulary;

struct EngineResult {
  uint64_t id = 0;
  llm::CallKey key;
  llm::FinishReason finish = llm::FinishReason::kStop;
  std::string text;                            // without the part that a stop string cut off
  std::vector<int32_t> tokens;                 // as sampled, an end token included
  std::vector<TokenLogprobs> logprobs;         // one per token, if the request asked for them
  std::vector<TokenLogprobs> prompt_logprobs;  // of the prompt's tokens from the second on, likewise
  std::vector<float> embedding;                // [dim], if the request has a pooling
  int prompt_tokens = 0;
  int cached_prompt_tokens = 0;    // taken from the prefix cache when the request was first admitted
  int preemptions = 0;             // how often it was preempted and recomputed
  double queue_seconds = 0;        // from Submit to the first admission
  double first_token_seconds = 0;  // from Submit to the first token; 0 if there was none
  double total_seconds = 0;        // from Submit to the end
  std::optional<Error> error;      // set exactly when finish == kError
  // Set if the request had keep_pages and ran: its tokens, and the pages of all tokens but the last. They
  // count against the KV budget until released, and must be released before the engine's pool.
  std::shared_ptr<const kv::SavedPages> pages;
};

struct EngineRequest {
  std::vector<int32_t> prompt;  // at least one token
  int max_tokens = 128;         // 0: the prompt is computed, and nothing follows
  int priority = 0;             // smaller is served first; equal ones in order of arrival
  llm::CallKey key;             // comes back with the result; changes no answer
  llm::Sampling sampling;       // its seed alone keys the random choices
  LogitRules rules;
  std::vector<std::string> stop;           // the text ends before the first of these
  std::shared_ptr<Constraint> constraint;  // null: any text
  // What tokens add to the text; null: what the engine's vocabulary says. The constraint has the same. Its
  // answers may go on wherever they are complete, so that max_tokens cuts them short (kLength).
  std::shared_ptr<const Vocabulary> spelling;
  std::optional<ThoughtLimit> thought_limit;  // needs a constraint that allows the thought's end
  // What the call is for ("plan", "say"). If set, key.agent is an agent in the sense of Engine::ExpectNext.
  std::optional<std::string> purpose;
  bool ignore_end = false;  // continue after end-of-text tokens (benchmarks)
  // Log-probabilities of each token of the answer, beside those of so many of the most likely tokens.
  std::optional<int> logprobs;
  bool prompt_logprobs = false;           // the same for the prompt's tokens; needs `logprobs`
  std::optional<model::Pooling> pooling;  // the result is the prompt's embedding; max_tokens is 0
  // Pages to continue from, as far as the prompt begins with their tokens. They come from a file or from
  // another request, and may start several requests (a fork). They must belong to the engine's pool and
  // model.
  std::shared_ptr<const kv::SavedPages> start;
  bool keep_pages = false;  // return the pages with the result
  // If set: true while it is computed, false while it waits for a place. Any thread may read it.
  std::shared_ptr<std::atomic<bool>> runs;

  // All callbacks run on the engine's thread, one at a time, and must be quick: the batch waits for them.
  // They may call Submit and Cancel.

  // New text of the answer: whole UTF-8 characters, never part of what a stop string cuts off.
  std::function<void(uint64_t id, std::string_view text)> on_text;
  // Before the text in which they begin: log-probabilities of the answer's tokens. Tokens without text after
  // the last one, such as the one that ends the answer, do not come.
  std::function<void(uint64_t id, std::span<const TokenLogprobs> logprobs)> on_logprobs;
  // Once the prompt has been computed: requests that begin alike find its blocks in the prefix cache.
  // logprobs: those of EngineResult::prompt_logprobs.
  std::function<void(uint64_t id, std::span<const TokenLogprobs> logprobs)> on_prompt;
  // Exactly once for each request that Submit accepted.
  std::function<void(EngineResult result)> on_done;
  // Raw logits [vocab], before any mask, from which token number `index` of the answer is sampled (tests).
  std::function<void(int index, std::span<const float> logits)> on_logits;
};

}  // namespace throng::engine
