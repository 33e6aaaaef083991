// The forward pass of llama-family models over paged KV caches.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "attention/key_bias.h"
#include "base/digest.h"
#include "kv/cache/block_memory.h"
#include "kv/softmax_kind.h"

namespace throng {
class ThreadPool;
}
namespace throng::kv {
class SequenceCache;
}  // namespace throng::kv

namespace throng::model {

class GgufFile;
struct ModelConfig;

// How a token is drawn from a row of logits: steps 1 and 3 to 8 at the head of engine/sampling/sampler.h.
struct Draw {
  float temperature;
  int top_k;
  float top_p, min_p;
  uint64_t random;                      // the number of the seed's stream
  std::span<const uint64_t> mask = {};  // a bit for each token that is allowed; empty: all are
};

// One sequence's share of a batch: the tokens after those in its cache.
struct BatchItem {
  std::span<const int32_t> tokens;  // at least one
  kv::SequenceCache* cache;         // grows by tokens.size(); the caller has reserved room
  int num_logits;                   // computes logits for the last num_logits tokens (0: none)
  int num_states = 0;               // or the states of the last num_states tokens, and no logits
  float* states = nullptr;          // [num_states, dim]: what the last layer leaves, normalised as for logits
  // [num_logits], where Transformer::Draws: tokens are drawn where the logits are, which are not returned.
  std::span<const Draw> draws = {};
  int32_t* drawn = nullptr;  // [num_logits]; -1: no token was left
};

class Transformer {
 public:
  virtual ~Transformer() = default;
  virtual const ModelConfig& Config() const = 0;
  // Of the config and all weights. Thread-safe. The first call reads all of them, so call it only where a
  // digest is kept.
  virtual Digest WeightsDigest() const = 0;
  // How a layer's keys are rotated; without frequencies if they are not.
  virtual attention::Rotation KeyRotation(int layer) const { return {}; }
  // What keys lack in caches whose layout says KeyBias::kModel; null: nothing.
  virtual std::shared_ptr<const attention::KeyBias> KeyBias() const { return nullptr; }
  // What LoadOptions::repack will still allocate.
  virtual size_t BytesToRepack() const { return 0; }
  // Does what LoadOptions::repack asks for, unless it is done. Not thread-safe, as Forward.
  virtual void Repack(ThreadPool& /*pool*/) {}

  // What computes: empty for this processor, else the kind of a device, whose results have other bits.
  virtual std::string Device() const { return {}; }
  // The memory that the blocks of its sequences must be in, for pools of this layout, softmax and budget.
  // Throws kUnsupported, with one sentence, for what is not computed, kExhausted if there is no such memory.
  virtual std::unique_ptr<kv::BlockMemory> MakeMemory(const kv::BlockLayout& layout, kv::SoftmaxKind softmax,
                                                      size_t budget_bytes);
  // Bytes of that memory that are free now and that the model will leave.
  virtual uint64_t FreeBytes() const;

  // Whether items may have draws.
  virtual bool Draws() const { return false; }

  // logits: [sum of num_logits, vocab], in the order of items and tokens; rows of items with draws stay as
  // they are. Each row depends only on the tokens of its sequence, the model, and its cache's codecs and
  // softmax: not on other items, the chunking or the number of threads. Not thread-safe: one forward pass at
  // a time.
  virtual void Forward(std::span<const BatchItem> items, ThreadPool& pool, float* logits) = 0;
};

struct LoadOptions {
  // Multiply weights with f32 activations instead of rounded ones, and round GELU as llama.cpp does:
  // several times slower, for comparisons with its logits.
  bool exact_activations = false;
  // Copy the weights for speed (matmul/repack.h) before the first pass of a few tokens, instead of reading
  // them where the file is mapped, which processes share. Results are the same bits.
  bool repack = false;
  // The most tokens of a sequence; 0: those that the model was trained for. LongRoPE has other factors for
  // long contexts than for short ones.
  int context = 0;
};

// Throws kCorrupt or kUnsupported with one sentence. The file must outlive the transformer, which reads
// weights where they are mapped.
std::unique_ptr<Transformer> LoadTransformer(const GgufFile& file, const LoadOptions& options = {});

}  // namespace throng::model
