// Measures forward passes of a whole model over synthetic caches: prefill and decode at any depth, alone and
// in batches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "bench/machine.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/ledger.h"
#include "kv/cache/sequence_cache.h"
#include "kv/layer_codecs.h"
#include "model/gguf/gguf.h"
#include "model/transformer.h"

namespace throng {
class ThreadPool;
}

namespace throng::bench {

// The most tokens of one forward pass of a prefill, as the engine's --step-tokens has it.
inline constexpr int kPrefillTokens = 512;

// What passes read of a file's weights, and compute with them.
struct WeightUse {
  double shared_bytes = 0;  // of all but experts
  double expert_bytes = 0;  // of all experts
  double chosen_share = 1;  // of experts, for one token
  double weights = 0;       // multiplied for one token, without the output matrix

  // Of one pass of some tokens that choose experts independently.
  double Bytes(int tokens) const;
};
WeightUse ReadWeightUse(const model::GgufFile& file);

struct PassSpeed {
  std::vector<double> seconds;  // of each round
  int tokens;                   // of all sequences in a round
  // Bytes that a round reads from memory: in each pass the weights once, and of each sequence the sealed
  // pages that its tokens see.
  double bytes;
  double flops;  // of a round: a multiplication and an addition for each weight and token, and attention
  // Bytes per second that memory gave before and after each round; empty where it was not measured.
  std::vector<double> read_rates;
};

struct Answers {
  PassSpeed speed;
  std::vector<std::vector<int32_t>> tokens;  // of each sequence
};

class ModelSpeed {
 public:
  // The file, the model made of it, and the threads must outlive it. Throws kInvalid for codecs that do not
  // exist.
  ModelSpeed(const model::GgufFile& file, model::Transformer& model, const kv::CodecFlags& codecs,
             kv::SoftmaxKind softmax, size_t budget_bytes, ThreadPool& threads);

  // Bytes of the caches of as many sequences of as many tokens.
  size_t CacheBytes(int sequences, int tokens) const;
  // The most that as many sequences hold at once while they decode up to as many tokens.
  size_t DecodeBytes(int sequences, int tokens) const;
  kv::Ledger GetLedger() const { return pool_.GetLedger(); }

  // Makes that many caches of `depth` tokens, a multiple of 64: random keys and values, the same in all
  // caches but each in memory of its own. Throws kExhausted if they have no room in the budget.
  void Fill(int sequences, int depth);
  // Computes a prompt of `tokens`, a multiple of 64, in a first cache, and returns the seconds that it took.
  double FillPrompt(int tokens);
  // Adds copies of the first cache, up to as many sequences, and cuts all to their first depth.
  void Grow(int sequences);

  // Times the passes of a prompt of `tokens` in the first sequence. First checks that the last token's
  // logits have the same bits when that token comes alone, after the others. Throws kCorrupt if not.
  PassSpeed Prefill(int tokens, int rounds, ReadMeter& memory);
  // Times `tokens` passes with one token of each sequence. First checks that all sequences' logits have the
  // same bits as those of the first one alone. Throws kCorrupt if not.
  PassSpeed Decode(int tokens, int rounds, ReadMeter& memory);
  // Times `tokens` passes in which all sequences decode greedily. Throws kCorrupt if logits are not finite.
  Answers Answer(int tokens, int rounds);

 private:
  void FillFirst(kv::SequenceCache& cache, int depth);
  void AddCopy(std::span<const kv::SealedBlock> of);  // another sequence
  void NoteStart();
  void Back();  // all caches as they were at the depth
  // Runs one pass: a chunk of tokens of each of the first sequences; logits of their last ones:
  // [chunks.size(), vocab].
  std::span<const float> Forward(std::span<const std::span<const int32_t>> chunks);
  // The same tokens of the first num_sequences, made up.
  std::span<const float> Pass(int num_sequences, int tokens);
  std::span<const float> PassPrompt(int tokens);  // in passes of at most kPrefillTokens
  void CheckFinite(std::span<const float> logits) const;
  // Times rounds that each begin at the depth.
  void Time(int rounds, ReadMeter& memory, const std::function<void()>& round, PassSpeed& speed);
  PassSpeed DecodeWork(int tokens) const;  // without times
  double PageBytes(int position) const;    // of the sealed pages that a token at this position sees
  double Flops(int position) const;        // of a token at this position, without its logits
  double LogitFlops() const;

  model::Transformer& model_;
  ThreadPool& threads_;
  const WeightUse weights_;
  kv::BlockPool pool_;
  std::deque<kv::SequenceCache> caches_;
  std::vector<std::vector<kv::SealedBlock>> starts_;  // [sequence]: its blocks at the depth
  int depth_ = 0;
  std::vector<float> logits_;
};

}  // namespace throng::bench
