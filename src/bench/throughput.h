// Measures how many tokens per second all sequences together decode that fit into one KV budget.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bench/model_speed.h"
#include "bench/timing.h"

namespace throng::bench {

struct ThroughputLoad {
  int prompt = 1024;  // tokens of each sequence's prompt, a multiple of 64
  int answer = 125;   // tokens that each sequence decodes
  // Whether the first sequence's prompt is computed, not filled with random keys and values.
  bool compute_prompt = true;
  int rounds = 1;                 // in which all sequences answer; the median counts
  std::vector<int> batches = {};  // in rising order; empty: 1, 2, 4, ... and the most that the budget holds
};

// 1024 tokens, or as many whole pages, at least one, as the context has room for before an answer.
int DefaultPrompt(int context, int answer);

struct ThroughputRow {
  int batch;
  int most;               // sequences that the budget holds
  PassSpeed decode;       // of all sequences' answers
  double prompt_seconds;  // of one sequence's prompt; 0 if it was not computed
  size_t kv_bytes;        // the ledger's peak
  size_t process_bytes;   // the process's peak, weights and all; 0 where the system does not say
  std::vector<int32_t> answer;

  double Seconds() const { return Median(decode.seconds); }
  double DecodeRate() const { return decode.tokens / Seconds(); }  // tokens per second
  // The same with every sequence's prompt in the time; 0 if it was not computed.
  double WholeRate() const;
};

// The rows of one codec, a batch each. All sequences have the same prompt, computed once and copied to memory
// of its own for each, and answer greedily. Throws kCorrupt if a sequence in a batch answers otherwise than
// alone, kExhausted if the budget does not hold one sequence, and what ModelSpeed throws.
std::vector<ThroughputRow> MeasureThroughput(const model::GgufFile& file, model::Transformer& model,
                                             const kv::CodecFlags& codecs, kv::SoftmaxKind softmax,
                                             size_t budget_bytes, const ThroughputLoad& load,
                                             ThreadPool& threads);

}  // namespace throng::bench
