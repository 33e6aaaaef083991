// A model file's way from its header to logits, for tests and fuzzers of files that may be wrong.
#pragma once

#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "kv/layer_codecs.h"
#include "model/config.h"
#include "model/gguf/gguf.h"
#include "model/transformer.h"

namespace throng::model {

// Computes three tokens, unless cache_bytes have no room for them. Throws an Error if the file is refused.
inline void ComputeThreeTokens(const GgufFile& file, size_t cache_bytes, ThreadPool& threads) {
  const auto transformer = LoadTransformer(file);
  const ModelConfig& config = transformer->Config();
  kv::BlockPool pool(
      kv::WithReaches(kv::WithStates(kv::MakeLayout(kv::CodecFlags{.kv = "f16"}, config.cache_layers),
                                     config.state_floats),
                      config.cache_reaches),
      cache_bytes);
  kv::SequenceCache cache(pool);
  if (!cache.Reserve(3)) return;
  const std::vector<int32_t> tokens = {0, 1, 2};
  std::vector<float> logits(static_cast<size_t>(config.vocab_size));
  const BatchItem item{tokens, &cache, 1};
  transformer->Forward({&item, 1}, threads, logits.data());
}

}  // namespace throng::model
