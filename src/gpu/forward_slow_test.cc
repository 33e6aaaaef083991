// A tiny model's forward pass on the emulated GPU, against that of this processor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "base/thread_pool.h"
#include "device/testing/guarded_device.h"
#include "gpu/arena.h"
#include "gpu/device_memory.h"
#include "gpu/forward.h"
#include "gpu/graph_device.h"
#include "gpu/transformer.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "kv/layer_codecs.h"
#include "kv/testing/random_rows.h"
#include "model/config.h"
#include "model/gguf/gguf.h"
#include "model/model.h"
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

kv::BlockLayout LayoutOf(const model::Transformer& transformer, const std::string& codec) {
  kv::CodecFlags flags;
  flags.kv = codec;
  return kv::WithReaches(kv::MakeLayout(flags, transformer.Config().cache_layers),
                         transformer.Config().cache_reaches);
}

struct OnDevice {
  OnDevice(const model::GgufFile& file, const std::string& codec, uint64_t seed = 1,
           size_t budget_bytes = size_t{1} << 21)
      : model(LoadTransformer(std::make_shared<Arena>(std::make_shared<device::GuardedDevice>(seed)), file)),
        pool(LayoutOf(*model, codec), budget_bytes, kv::SoftmaxKind::kExact,
             model->MakeMemory(LayoutOf(*model, codec), kv::SoftmaxKind::kExact, budget_bytes)) {}

  // Logits of all tokens, in chunks that end after these numbers of tokens, the last one after all.
  std::vector<float> Run(const std::vector<int32_t>& tokens, std::vector<size_t> ends) {
    kv::SequenceCache cache(pool);
    std::vector<float> logits;
    ends.push_back(tokens.size());
    size_t begin = 0;
    for (const size_t end : ends) {
      const std::span<const int32_t> chunk(tokens.data() + begin, end - begin);
      const auto of_chunk = Pass({{chunk, &cache, static_cast<int>(chunk.size())}});
      logits.insert(logits.end(), of_chunk.begin(), of_chunk.end());
      begin = end;
    }
    return logits;
  }
  std::vector<float> Pass(const std::vector<model::BatchItem>& items) {
    size_t rows = 0;
    for (const model::BatchItem& item : items) {
      EXPECT_TRUE(item.cache->Reserve(static_cast<int>(item.tokens.size())));
      rows += static_cast<size_t>(item.num_logits);
    }
    std::vector<float> logits(rows * static_cast<size_t>(model->Config().vocab_size));
    ThreadPool threads(1);
    model->Forward(items, threads, logits.data());
    return logits;
  }

  std::unique_ptr<model::Transformer> model;
  kv::BlockPool pool;
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
TinyModel Windowed() {
  TinyModel tiny = Tiny();
  tiny.window = 30;
  return tiny;
}
TinyModel Mixtral() {
  TinyModel tiny = Tiny();
  tiny.experts = 4;
  return tiny;
}
// With sinks, a window in each second layer, and experts with biases in MXFP4.
TinyModel GptOss() {
  TinyModel tiny = Tiny(TensorType::kMXFP4);
  tiny.architecture = "gpt-oss";
  tiny.experts = 4;
  tiny.key_bias = 0.3f;
  tiny.bias_pairs = {1};
  tiny.more = [](model::GgufWriter& writer) {
    writer.Add("gpt-oss.attention.sliding_window", 30u);
    const auto add = [&](const std::string& name, const std::vector<uint64_t>& dims, uint64_t seed) {
      const uint64_t count = dims[0] * (dims.size() > 1 ? dims[1] : 1);
      writer.AddTensor(name, TensorType::kF32, dims,
                       model::RandomBlocks(TensorType::kF32, count, 1.0f, seed));
    };
    for (const std::string layer : {"blk.0.", "blk.1."}) {
      add(layer + "attn_output.bias", {64}, 2);
      add(layer + "attn_sinks.weight", {4}, 3);
      add(layer + "ffn_gate_inp.bias", {4}, 4);
      add(layer + "ffn_gate_exps.bias", {96, 4}, 5);
      add(layer + "ffn_up_exps.bias", {96, 4}, 6);
      add(layer + "ffn_down_exps.bias", {64, 4}, 7);
    }
  };
  return tiny;
}
INSTANTIATE_TEST_SUITE_P(
    Models, ForwardOnDevice,
    testing::Values(Case{"Q8F16", Tiny(), "f16", 1e-3}, Case{"Qwen3Flashq4", Qwen3(), "flashq4", 2e-3},
                    Case{"Qwen2HalvesInt8", Qwen(TensorType::kF16), "int8:bias=off", 2e-3},
                    Case{"MixtralInt8", Mixtral(), "int8", 2e-3}, Case{"GptOssF16", GptOss(), "f16", 1e-3},
                    Case{"GptOssFlashq4", GptOss(), "flashq4", 2e-3},
                    Case{"Phi3WindowF16", Windowed(), "f16", 1e-3},
                    Case{"Phi3WindowFlashq4", Windowed(), "flashq4", 2e-3},
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
class Rows : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Codecs, Rows, testing::Values("flashq4", "gear4"),
                         [](const auto& info) { return std::string(info.param); });
TEST_P(Rows, ArePure) {
  const auto bytes = Tiny().Bytes();
  const model::GgufFile file(bytes, "tiny");
  const auto tokens = RandomTokens(67, 1);
  OnDevice device(file, GetParam());
  const auto expected = device.Run(tokens, {});
  EXPECT_TRUE(kv::SameBits(OnDevice(file, GetParam(), 5).Run(tokens, {1, 63}), expected));

  const auto other_tokens = RandomTokens(30, 2);
  kv::SequenceCache sequence(device.pool);
  kv::SequenceCache other(device.pool);
  const std::span<const int32_t> all(tokens);
  const auto logits = device.Pass({{other_tokens, &other, 0}, {all.first(66), &sequence, 2}});
  const auto row = [&](size_t i) {
    return std::vector<float>(expected.begin() + static_cast<ptrdiff_t>(40 * i),
                              expected.begin() + static_cast<ptrdiff_t>(40 * (i + 1)));
  };
  EXPECT_TRUE(kv::SameBits({logits.begin(), logits.begin() + 40}, row(64)));
  EXPECT_TRUE(kv::SameBits({logits.begin() + 40, logits.end()}, row(65)));
  // What a token that was taken back has left behind does not count.
  const std::vector<int32_t> wrong = {7, 8};
  device.Pass({{wrong, &sequence, 0}});
  EXPECT_EQ(sequence.Truncate(66), 66);
  const auto last = device.Pass({{all.subspan(66), &sequence, 1}, {all.first(1), &other, 1}});
  EXPECT_TRUE(kv::SameBits({last.begin(), last.begin() + 40}, row(66)));
  EXPECT_EQ(sequence.NumTokens(), 67);
  EXPECT_EQ(other.NumTokens(), 31);
}

// Steps that decode launch the same again and again, so they are captured; the results are those of launches,
// also when the batch changes.
TEST(ForwardOnDevice, StepsThatRepeatRunAsGraphs) {
  const auto bytes = Tiny().Bytes();
  const model::GgufFile file(bytes, "tiny");
  const auto host = model::BuildModel(file, 0);
  const auto tokens = RandomTokens(12, 4);
  const auto run = [&](device::Device& computes, const std::shared_ptr<Arena>& device,
                       const auto& after_step) {
    DeviceModel model(computes, *host);
    kv::CodecFlags flags;
    flags.kv = "flashq4";
    const kv::BlockLayout layout = kv::MakeLayout(flags, host->config.cache_layers);
    kv::BlockPool pool(layout, 1 << 21, kv::SoftmaxKind::kExact,
                       std::make_unique<DeviceMemory>(device, layout, 1 << 21));
    std::vector<kv::SequenceCache> caches;
    for (int i = 0; i < 3; ++i) caches.emplace_back(pool);
    std::vector<float> all;
    for (size_t step = 0; step < tokens.size(); ++step) {
      const size_t batch = step < 6 ? 2 : 3;
      std::vector<model::BatchItem> items;
      for (size_t i = 0; i < batch; ++i) {
        EXPECT_TRUE(caches[i].Reserve(1));
        caches[i].BeginChunk(1);
        items.push_back({std::span(tokens).subspan(step, 1), &caches[i], 1});
      }
      const float* logits = model.Forward(items);
      const size_t at = all.size();
      all.resize(at + batch * 40);
      device->CopyFrom(all.data() + at, logits, batch * 40 * sizeof(float));
      for (size_t i = 0; i < batch; ++i) caches[i].EndChunk();
      after_step(step);
    }
    return all;
  };
  const auto launched_on = std::make_shared<Arena>(std::make_shared<device::GuardedDevice>(1));
  const auto launched = run(*launched_on, launched_on, [](size_t) {});
  const auto device = std::make_shared<Arena>(std::make_shared<device::GuardedDevice>(2));
  GraphDevice graphs(*device);
  std::vector<int> captures, replays;
  const auto replayed = run(graphs, device, [&](size_t) {
    captures.push_back(graphs.Captures());
    replays.push_back(graphs.Replays());
  });
  EXPECT_TRUE(kv::SameBits(replayed, launched));
  // With the first and the seventh step buffers grow, and the ones that follow are the first of their kinds.
  EXPECT_THAT(captures, testing::ElementsAre(0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2));
  EXPECT_THAT(replays, testing::ElementsAre(0, 0, 1, 2, 3, 4, 4, 4, 5, 6, 7, 8));
}

// The states of tokens, for embeddings.
TEST(ForwardOnDevice, StatesAreTheProcessors) {
  const auto bytes = Tiny().Bytes();
  const model::GgufFile file(bytes, "tiny");
  const auto tokens = RandomTokens(5, 3);
  const auto states_of = [&](model::Transformer& transformer, kv::BlockPool& pool) {
    kv::SequenceCache cache(pool);
    EXPECT_TRUE(cache.Reserve(5));
    std::vector<float> states(3 * 64);
    ThreadPool threads(1);
    const model::BatchItem item{tokens, &cache, 0, 3, states.data()};
    transformer.Forward({&item, 1}, threads, nullptr);
    return states;
  };
  OnDevice device(file, "f16");
  const auto host = model::LoadTransformer(file);
  kv::BlockPool pool(LayoutOf(*host, "f16"), size_t{1} << 26);
  EXPECT_LT(kv::RelativeError(states_of(*device.model, device.pool), states_of(*host, pool)), 1e-3);
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
  TinyModel small = Tiny();
  small.head_dim = 16;
  EXPECT_EQ(WhyRefused(small), "layer 0: emulated GPU does not compute heads of other sizes than 64 and 128");
  EXPECT_THAT(WhyRefused(Tiny(), "fp8"), testing::StartsWith("KV codec fp8: "));
  TinyModel shared = Tiny();
  shared.heads = 18;
  EXPECT_EQ(WhyRefused(shared),
            "layer 0: emulated GPU does not compute more than 8 query heads for a KV head");
  TinyModel coarse = Tiny(TensorType::kQ2_K);
  coarse.dim = coarse.ffn = 256;
  EXPECT_THAT(WhyRefused(coarse), testing::StartsWith("embedding: emulated GPU has no kernels for Q2_K"));
  EXPECT_EQ(WhyRefused(Tiny(), "flashq4:recent=64"),
            "KV cache: emulated GPU does not compute with pages in a finer form (sink=, recent=)");
  const auto bytes = Tiny().Bytes();
  const model::GgufFile file(bytes, "tiny");
  const auto model =
      LoadTransformer(std::make_shared<Arena>(std::make_shared<device::GuardedDevice>()), file);
  try {
    model->MakeMemory(LayoutOf(*model, "f16"), kv::SoftmaxKind::kSas, 1 << 20);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "KV codec f16: emulated GPU computes the softmax sas with flashq4, flashq2 and int8 alone");
  }
  TinyModel biased = Tiny();
  biased.key_bias = 300.0f;
  biased.bias_pairs = {1, 6};
  EXPECT_THAT(WhyRefused(biased, "flashq4"),
              testing::HasSubstr("does not add the bias that this model's keys are stored without"));
  EXPECT_EQ(WhyRefused(biased, "flashq4:bias=off"), "");
}

}  // namespace
}  // namespace throng::gpu
