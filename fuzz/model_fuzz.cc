// Any bytes as the header of a model file, followed by weights that are always the same, give an Error or a
// model that computes tokens.

#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "kv/layer_codecs.h"
#include "model/config.h"
#include "model/gguf/gguf.h"
#include "model/transformer.h"

using throng::Error;
using namespace throng::model;
namespace kv = throng::kv;

namespace {

constexpr size_t kWeightBytes = 512 << 10;  // more than any seed needs
constexpr size_t kAlignment = 32;           // of the weights in a file that does not say

void Compute(const GgufFile& file) {
  const auto transformer = LoadTransformer(file);
  const ModelConfig& config = transformer->Config();
  kv::BlockPool pool(
      kv::WithReaches(kv::WithStates(kv::MakeLayout(kv::CodecFlags{.kv = "f16"}, config.cache_layers),
                                     config.state_floats),
                      config.cache_reaches),
      size_t{1} << 26);
  kv::SequenceCache cache(pool);
  if (!cache.Reserve(3)) return;
  const std::vector<int32_t> tokens = {0, 1, 2};
  std::vector<float> logits(static_cast<size_t>(config.vocab_size));
  const BatchItem item{tokens, &cache, 1};
  static throng::ThreadPool threads(1);
  transformer->Forward({&item, 1}, threads, logits.data());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> bytes(data, data + size);
  bytes.resize((size + kAlignment - 1) / kAlignment * kAlignment);
  bytes.resize(bytes.size() + kWeightBytes, 0x2a);
  try {
    const GgufFile file(bytes, "input");
    Compute(file);
  } catch (const Error&) {
  }
  return 0;
}
