// Files whose headers were changed at random are refused with an error, or computed with: they neither crash
// nor take memory that they have no data for.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "base/thread_pool.h"
#include "model/gguf/gguf.h"
#include "model/testing/compute_tokens.h"
#include "model/testing/tiny_gemma.h"
#include "model/testing/tiny_hybrid.h"
#include "model/testing/tiny_latent.h"
#include "model/testing/tiny_model.h"

namespace throng::model {
namespace {

void Compute(const std::vector<uint8_t>& bytes) {
  ThreadPool threads(1);
  ComputeThreeTokens(GgufFile(bytes, "wild"), size_t{1} << 28, threads);
}

// Up to three changes of the header: a byte, or a word that becomes a small or a large number.
std::vector<uint8_t> Change(std::vector<uint8_t> bytes, size_t header, CounterRng& rng) {
  for (uint64_t changes = 1 + rng.NextBelow(3); changes > 0; --changes) {
    const size_t at = 24 + rng.NextBelow(header - 32);
    const uint32_t words[] = {0, 1, 2, 3, 8, 255, 4096, 65536, 0x7fffffff, 0xffffffff};
    if (rng.NextBelow(2) == 0) {
      bytes[at] = static_cast<uint8_t>(rng.NextBelow(256));
    } else {
      std::memcpy(&bytes[at], &words[rng.NextBelow(std::size(words))], sizeof(uint32_t));
    }
  }
  return bytes;
}

struct Subject {
  std::string name;
  std::vector<uint8_t> bytes;
};

class WildFiles : public testing::TestWithParam<Subject> {};

TEST_P(WildFiles, AreRefusedOrComputed) {
  const std::vector<uint8_t>& bytes = GetParam().bytes;
  const GgufFile file(bytes, "sound");
  const auto header = static_cast<size_t>(file.Tensors().front().data.data() - bytes.data());
  ASSERT_NO_THROW(Compute(bytes));
  CounterRng rng(1);
  int refused = 0;
  constexpr int kFiles = 300;
  for (int i = 0; i < kFiles; ++i) {
    try {
      Compute(Change(bytes, header, rng));
    } catch (const Error& error) {
      EXPECT_STRNE(error.what(), "");
      ++refused;
    }
  }
  EXPECT_GT(refused, kFiles / 4);
}

std::vector<Subject> Subjects() {
  return {
      {"Llama", TinyModel{}.Bytes()},
      {"Experts", TinyModel{.experts = 5}.Bytes()},
      {"Yarn", TinyModel{.rope_scaling = 8.0f, .yarn = true}.Bytes()},
      {"Latent", TinyLatent{.q_rank = true}.Bytes()},
      {"LatentOlder", TinyLatent{.older = true}.Bytes()},
      {"Gemma2", TinyGemma{.architecture = "gemma2"}.Bytes()},
      {"Gemma3n", TinyGemma{.architecture = "gemma3n"}.Bytes()},
      {"Gemma4", TinyGemma{}.Bytes()},
      {"Gemma4Experts", TinyGemma{.experts = true}.Bytes()},
      {"Qwen35Moe", TinyHybrid("qwen35moe", TensorType::kQ8_0).Bytes()},
      {"Lfm2", TinyHybrid("lfm2", TensorType::kQ8_0).Bytes()},
      {"FalconH1", TinyHybrid("falcon-h1", TensorType::kQ8_0).Bytes()},
  };
}

INSTANTIATE_TEST_SUITE_P(Models, WildFiles, testing::ValuesIn(Subjects()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace throng::model
