// A tiny model's forward pass on the emulated GPU, against that of this processor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "base/thread_pool.h"
#include "device/emulation/emulated_device.h"
#include "gpu/forward.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "kv/layer_codecs.h"
#include "kv/testing/random_rows.h"
#include "model/gguf/gguf.h"
#include "model/testing/tiny_model.h"
#include "model/transformer.h"

namespace throng::gpu {
namespace {

using model::TensorType;
using model::TinyModel;

TinyModel Tiny(TensorType type = TensorType::kQ8_0) {
  return {.type = type, .dim = 64, .heads = 4, .kv_heads = 2, .head_dim = 64, .ffn = 96, .vocab = 40};
}

std::vector<int32_t> RandomTokens(size_t count, uint64_t seed) {
  CounterRng rng(seed);
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = static_cast<int32_t>(rng.NextBelow(40));
  return tokens;
}

// Logits of all tokens.
std::vector<float> OnHost(const model::GgufFile& file, const std::string& codec,
                          const std::vector<int32_t>& tokens) {
  const auto transformer = model::LoadTransformer(file);
  kv::CodecFlags flags;
  flags.kv = codec;
  kv::BlockPool pool(kv::MakeLayout(flags, transformer->Config().cache_layers), size_t{1} << 26);
  kv::SequenceCache cache(pool);
  EXPECT_TRUE(cache.Reserve(static_cast<int>(tokens.size())));
  std::vector<float> logits(tokens.size() * static_cast<size_t>(transformer->Config().vocab_size));
  ThreadPool threads(1);
  const model::BatchItem item{tokens, &cache, static_cast<int>(tokens.size())};
  transformer->Forward({&item, 1}, threads, logits.data());
  return logits;
}

struct OnDevice {
  OnDevice(const model::GgufFile& file, const std::string& codec, uint64_t seed = 1,
           size_t budget_bytes = size_t{1} << 21)
      : device(device::MakeEmulatedDevice({.seed = seed})),
        loaded(model::BuildModel(file)),
        model(*device, *loaded, {codec, budget_bytes, 4}) {}

  // Logits of all tokens, in chunks that end after these numbers of tokens, the last one after all.
  std::vector<float> Run(const std::vector<int32_t>& tokens, std::vector<size_t> ends) {
    DeviceSequence sequence(model.Cache());
    std::vector<float> logits;
    ends.push_back(tokens.size());
    size_t begin = 0;
    for (const size_t end : ends) {
      const std::span<const int32_t> chunk(tokens.data() + begin, end - begin);
      const DeviceItem item{chunk, &sequence, static_cast<int>(chunk.size())};
      const auto of_chunk = ToHost(model.Forward({&item, 1}), chunk.size());
      logits.insert(logits.end(), of_chunk.begin(), of_chunk.end());
      begin = end;
    }
    return logits;
  }
  std::vector<float> ToHost(const float* logits, size_t rows) {
    std::vector<float> values(rows * static_cast<size_t>(loaded->config.vocab_size));
    device->CopyFrom(values.data(), logits, values.size() * sizeof(float));
    return values;
  }

  std::unique_ptr<device::Device> device;
  std::unique_ptr<model::Model> loaded;
  DeviceModel model;
};

struct Case {
  const char* name;
  TinyModel tiny;
  const char* codec;
  double error;  // allowed, of the logits' length
};
void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

class ForwardOnDevice : public testing::TestWithParam<Case> {};
TinyModel Qwen(TensorType type) {
  TinyModel tiny = Tiny(type);
  tiny.architecture = "qwen2";
  return tiny;
}
// With norms of the heads of queries and keys.
TinyModel Qwen3() {
  TinyModel tiny = Tiny(TensorType::kQ4_0);
  tiny.architecture = "qwen3";
  tiny.more = [](model::GgufWriter& writer) {
    uint64_t seed = 1;
    for (const std::string layer : {"blk.0.", "blk.1."}) {
      for (const std::string part : {"attn_q_norm.weight", "attn_k_norm.weight"}) {
        writer.AddTensor(layer + part, TensorType::kF32, std::vector<uint64_t>{64},
                         model::RandomBlocks(TensorType::kF32, 64, 1.5f, seed++));
      }
    }
  };
  return tiny;
}
INSTANTIATE_TEST_SUITE_P(Models, ForwardOnDevice,
                         testing::Values(Case{"Q8F16", Tiny(), "f16", 1e-3},
                                         Case{"Qwen3Flashq4", Qwen3(), "flashq4", 2e-3},
                                         Case{"Qwen2HalvesInt8", Qwen(TensorType::kF16), "int8", 2e-3},
                                         Case{"Q8Gearl4", Tiny(), "gearl4", 5e-3}),
                         [](const auto& info) { return info.param.name; });

// Logits of a text of more than a block, whose tokens come in chunks and one by one.
TEST_P(ForwardOnDevice, LogitsAreTheProcessors) {
  const auto bytes = GetParam().tiny.Bytes();
  const model::GgufFile file(bytes, "tiny");
  const auto tokens = RandomTokens(68, 1);
  OnDevice device(file, GetParam().codec);
  const auto got = device.Run(tokens, {20, 66, 67});
  EXPECT_LT(kv::RelativeError(got, OnHost(file, GetParam().codec, tokens)), GetParam().error);
}

// A sequence's logits do not depend on chunks, on others, or on the order of threads.
TEST(ForwardOnDevice, RowsArePure) {
  const auto bytes = Tiny().Bytes();
  const model::GgufFile file(bytes, "tiny");
  const auto tokens = RandomTokens(67, 1);
  OnDevice device(file, "flashq4");
  const auto expected = device.Run(tokens, {});
  EXPECT_TRUE(kv::SameBits(OnDevice(file, "flashq4", 5).Run(tokens, {1, 63}), expected));

  const auto other_tokens = RandomTokens(30, 2);
  DeviceSequence sequence(device.model.Cache());
  DeviceSequence other(device.model.Cache());
  const std::span<const int32_t> all(tokens);
  const DeviceItem first[] = {{other_tokens, &other, 0}, {all.first(66), &sequence, 2}};
  const auto logits = device.ToHost(device.model.Forward(first), 2);
  const auto row = [&](size_t i) {
    return std::vector<float>(expected.begin() + static_cast<ptrdiff_t>(40 * i),
                              expected.begin() + static_cast<ptrdiff_t>(40 * (i + 1)));
  };
  EXPECT_TRUE(kv::SameBits({logits.begin(), logits.begin() + 40}, row(64)));
  EXPECT_TRUE(kv::SameBits({logits.begin() + 40, logits.end()}, row(65)));
  const DeviceItem second[] = {{all.subspan(66), &sequence, 1}, {all.first(1), &other, 1}};
  EXPECT_TRUE(kv::SameBits(std::vector(device.ToHost(device.model.Forward(second), 1)), row(66)));
  EXPECT_EQ(sequence.NumTokens(), 67);
  EXPECT_EQ(other.NumTokens(), 31);
}

// A pass without room throws and changes nothing; what a sequence had is free after it.
TEST(ForwardOnDevice, AFullCacheIsSaid) {
  const auto bytes = Tiny().Bytes();
  const model::GgufFile file(bytes, "tiny");
  OnDevice device(file, "flashq4");
  const FreeBlocks before = device.model.Cache().Free();
  const auto tokens = RandomTokens(64 * 5, 1);
  {
    DeviceSequence sequence(device.model.Cache());
    const DeviceItem item{tokens, &sequence, 0};
    try {
      device.model.Forward({&item, 1});
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.Code(), ErrorCode::kExhausted);
      EXPECT_THAT(error.what(),
                  testing::StartsWith("KV cache of emulated GPU: the pass needs 5 open and 5 sealed"));
    }
    EXPECT_EQ(sequence.NumTokens(), 0);
    const DeviceItem less{std::span(tokens).first(3), &sequence, 0};
    EXPECT_EQ(device.model.Forward({&less, 1}), nullptr);
    EXPECT_EQ(sequence.NumTokens(), 3);
  }
  EXPECT_EQ(device.model.Cache().Free().open, before.open);
  EXPECT_EQ(device.model.Cache().Free().sealed, before.sealed);
}

std::string WhyRefused(const TinyModel& tiny, const std::string& codec = "f16") {
  const auto bytes = tiny.Bytes();
  const model::GgufFile file(bytes, "tiny");
  try {
    OnDevice device(file, codec);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(ForwardOnDevice, SaysWhatItDoesNotCompute) {
  EXPECT_EQ(WhyRefused(Tiny()), "");
  TinyModel experts = Tiny();
  experts.experts = 3;
  EXPECT_THAT(WhyRefused(experts), testing::StartsWith("emulated GPU does not compute layer 0: "));
  TinyModel window = Tiny();
  window.window = 32;
  EXPECT_EQ(WhyRefused(window), "layer 0: emulated GPU does not compute attention within windows");
  TinyModel small = Tiny();
  small.head_dim = 16;
  EXPECT_THAT(
      WhyRefused(small),
      testing::StartsWith("KV codec f16: emulated GPU has no kernels for it with heads of 16 elements"));
  EXPECT_THAT(WhyRefused(Tiny(), "flashq3"), testing::StartsWith("KV codec flashq3: "));
}

}  // namespace
}  // namespace throng::gpu
