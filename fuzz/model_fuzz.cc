// Any bytes as the header of a model file, followed by weights that are always the same, give an Error or a
// model that computes tokens.

#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"
#include "model/gguf/gguf.h"
#include "model/testing/compute_tokens.h"

using throng::Error;
using namespace throng::model;

namespace {

constexpr size_t kWeightBytes = 512 << 10;  // more than any seed needs
constexpr size_t kCacheBytes = 1 << 26;
constexpr size_t kAlignment = 32;  // of the weights in a file that does not say

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> bytes(data, data + size);
  bytes.resize((size + kAlignment - 1) / kAlignment * kAlignment);
  bytes.resize(bytes.size() + kWeightBytes, 0x2a);
  try {
    static throng::ThreadPool threads(1);
    ComputeThreeTokens(GgufFile(bytes, "input"), kCacheBytes, threads);
  } catch (const Error&) {
  }
  return 0;
}
