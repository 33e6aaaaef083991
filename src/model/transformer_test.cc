#include "model/transformer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <numeric>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/thread_pool.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "kv/layer_codecs.h"
#include "model/config.h"
#include "model/gguf/gguf.h"
#include "model/testing/tiny_gemma.h"
#include "model/testing/tiny_hybrid.h"
#include "model/testing/tiny_latent.h"
#include "model/testing/tiny_model.h"
#include "model/tokenizer/tokenizer.h"

namespace throng::model {
namespace {

const int kVocab = TinyModel().vocab;

std::vector<int32_t> RandomTokens(size_t count, int vocab, uint64_t seed) {
  CounterRng rng(seed);
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = static_cast<int32_t>(rng.NextBelow(static_cast<uint64_t>(vocab)));
  return tokens;
}

struct Fixture {
  Fixture(const GgufFile& file, const std::string& codec, bool exact_activations = false,
          kv::SoftmaxKind softmax = kv::SoftmaxKind::kExact, bool repack = false)
      : transformer(LoadTransformer(file, {exact_activations, repack})),
        pool(MakeLayout(codec), size_t{1} << 28, softmax) {}

  kv::BlockLayout MakeLayout(const std::string& codec) const {
    const ModelConfig& config = transformer->Config();
    kv::CodecFlags flags;
    flags.kv = codec;
    return kv::WithReaches(kv::WithStates(kv::MakeLayout(flags, config.cache_layers), config.state_floats),
                           config.cache_reaches);
  }

  // Logits of all tokens, fed in chunks of `chunk` tokens.
  std::vector<float> Run(std::span<const int32_t> tokens, size_t chunk, int threads = 1) {
    ThreadPool thread_pool(threads);
    kv::SequenceCache cache(pool);
    const auto vocab = static_cast<size_t>(transformer->Config().vocab_size);
    std::vector<float> logits(tokens.size() * vocab);
    for (size_t first = 0; first < tokens.size(); first += chunk) {
      const size_t count = std::min(chunk, tokens.size() - first);
      EXPECT_TRUE(cache.Reserve(static_cast<int>(count)));
      const BatchItem item{tokens.subspan(first, count), &cache, static_cast<int>(count)};
      transformer->Forward({&item, 1}, thread_pool, logits.data() + first * vocab);
    }
    return logits;
  }

  std::unique_ptr<Transformer> transformer;
  kv::BlockPool pool;
};

bool SameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

struct PureModel {
  std::string name;
  std::vector<uint8_t> bytes;
  std::string codec = "f16";
};
void PrintTo(const PureModel& model, std::ostream* out) { *out << model.name; }

class PurityTest : public testing::TestWithParam<PureModel> {
 protected:
  void SetUp() override {
    codec_ = GetParam().codec;
    bytes_ = GetParam().bytes;
    file_.emplace(bytes_, "tiny");
  }
  std::string codec_;
  std::vector<uint8_t> bytes_;
  std::optional<GgufFile> file_;
};

TEST_P(PurityTest, ChunksAndThreadsDoNotChangeBits) {
  Fixture fixture(*file_, codec_);
  const auto tokens = RandomTokens(200, kVocab, 1);
  const auto expected = fixture.Run(tokens, 200);
  for (const float value : expected) ASSERT_TRUE(std::isfinite(value));
  for (const size_t chunk : {1, 17, 64, 128})
    EXPECT_TRUE(SameBits(fixture.Run(tokens, chunk), expected)) << chunk;
  EXPECT_TRUE(SameBits(fixture.Run(tokens, 200, 2), expected));
  EXPECT_TRUE(SameBits(fixture.Run(tokens, 64, 3), expected));
}

// Logits are those of the states, whatever else is in the batch and asks for what.
TEST_P(PurityTest, StatesDoNotDependOnChunksAndBatches) {
  Fixture fixture(*file_, codec_);
  const auto dim = static_cast<size_t>(fixture.transformer->Config().dim);
  const auto tokens = RandomTokens(130, kVocab, 1);
  const auto logits = fixture.Run(tokens, 130);
  std::vector<float> expected;
  for (const size_t chunk : {130, 17}) {
    ThreadPool pool(2);
    kv::SequenceCache cache(fixture.pool), other(fixture.pool);
    std::vector<float> states(tokens.size() * dim);
    std::vector<float> beside(chunk * kVocab);
    for (size_t first = 0; first < tokens.size(); first += chunk) {
      const size_t count = std::min(chunk, tokens.size() - first);
      const auto part = std::span(tokens).subspan(first, count);
      ASSERT_TRUE(cache.Reserve(static_cast<int>(count)) && other.Reserve(static_cast<int>(count)));
      const BatchItem items[] = {{part, &cache, 0, static_cast<int>(count), states.data() + first * dim},
                                 {part, &other, 1}};
      fixture.transformer->Forward(items, pool, beside.data());
    }
    const size_t last = (tokens.size() - 1) * kVocab;
    EXPECT_TRUE(SameBits(std::span(beside).first(kVocab), std::span(logits).subspan(last, kVocab)));
    if (expected.empty()) expected = states;
    EXPECT_TRUE(SameBits(states, expected));
  }
  EXPECT_GT(std::ranges::count_if(expected, [](float x) { return x != 0; }), 1000);
}

// Whether a state was kept in the middle of a chunk, where somebody asked for it, or at its end.
TEST_P(PurityTest, SequencesGoOnFromTheBlocksOfOthers) {
  Fixture fixture(*file_, codec_);
  const auto tokens = RandomTokens(200, kVocab, 4);
  const auto expected = fixture.Run(tokens, 200);
  ThreadPool threads(2);
  const bool has_states = fixture.pool.StateBytes() > 0;
  for (const size_t length : {150, 128}) {
    kv::SequenceCache other(fixture.pool);
    ASSERT_TRUE(other.Reserve(static_cast<int>(length)));
    ASSERT_TRUE(!has_states || other.ReserveState(0));
    const BatchItem whole{std::span(tokens).first(length), &other, 0};
    fixture.transformer->Forward({&whole, 1}, threads, nullptr);
    const size_t usable = kv::UsableBlocks(fixture.pool.Layout(), other.SealedBlocks());
    EXPECT_EQ(usable, has_states && length == 150 ? 1u : 2u);
    kv::SequenceCache cache(fixture.pool);
    cache.Adopt(other.SealedBlocks().first(usable));
    const auto rest = std::span(tokens).subspan(usable * kv::kPageTokens);
    ASSERT_TRUE(cache.Reserve(static_cast<int>(rest.size())));
    std::vector<float> logits(rest.size() * kVocab);
    const BatchItem item{rest, &cache, static_cast<int>(rest.size())};
    fixture.transformer->Forward({&item, 1}, threads, logits.data());
    EXPECT_TRUE(SameBits(logits, std::span(expected).last(logits.size()))) << length;
  }
}

TEST_P(PurityTest, RepackingDoesNotChangeBits) {
  const auto tokens = RandomTokens(100, kVocab, 3);
  const auto expected = Fixture(*file_, codec_).Run(tokens, 100);
  Fixture repacked(*file_, codec_, /*exact_activations=*/false, kv::SoftmaxKind::kExact, /*repack=*/true);
  EXPECT_GT(repacked.transformer->BytesToRepack(), 0u);
  repacked.Run(tokens, 100);
  EXPECT_GT(repacked.transformer->BytesToRepack(), 0u);  // not for a prefill
  for (const size_t chunk : {100, 1, 6, 100})
    EXPECT_TRUE(SameBits(repacked.Run(tokens, chunk, 3), expected)) << chunk;
  EXPECT_EQ(repacked.transformer->BytesToRepack(), 0u);

  Fixture early(*file_, codec_, /*exact_activations=*/false, kv::SoftmaxKind::kExact, /*repack=*/true);
  ThreadPool threads(2);
  early.transformer->Repack(threads);
  EXPECT_EQ(early.transformer->BytesToRepack(), 0u);
  EXPECT_TRUE(SameBits(early.Run(tokens, 1), expected));
}

TEST_P(PurityTest, ChunksAndThreadsDoNotChangeBitsOfSas) {
  Fixture fixture(*file_, codec_, /*exact_activations=*/false, kv::SoftmaxKind::kSas);
  const auto tokens = RandomTokens(150, kVocab, 2);
  const auto expected = fixture.Run(tokens, 150);
  EXPECT_FALSE(SameBits(Fixture(*file_, codec_).Run(tokens, 150), expected));
  EXPECT_TRUE(SameBits(fixture.Run(tokens, 17), expected));
  EXPECT_TRUE(SameBits(fixture.Run(tokens, 64, 3), expected));
}

TEST_P(PurityTest, BatchesDoNotChangeBits) {
  Fixture fixture(*file_, codec_);
  constexpr size_t kSequences = 5;
  const auto vocab = static_cast<size_t>(kVocab);
  std::vector<std::vector<int32_t>> tokens;
  std::vector<std::vector<float>> expected;
  for (size_t i = 0; i < kSequences; ++i) {
    tokens.push_back(RandomTokens(60 + 13 * i, kVocab, i));
    expected.push_back(fixture.Run(tokens[i], 1000));
  }
  for (const int threads : {1, 2}) {
    ThreadPool pool(threads);
    std::vector<kv::SequenceCache> caches;
    for (size_t i = 0; i < kSequences; ++i) caches.emplace_back(fixture.pool);
    std::vector<size_t> done(kSequences, 0);
    // Steps of mixed sizes: one long prompt among single tokens, then all together.
    for (size_t step = 0; *std::min_element(done.begin(), done.end()) < 60; ++step) {
      std::vector<BatchItem> items;
      std::vector<size_t> who;
      for (size_t i = 0; i < kSequences; ++i) {
        const size_t left = tokens[i].size() - done[i];
        const size_t count = std::min(left, step % 3 == i % 3 ? 11 + i : size_t{1});
        if (count == 0) continue;
        ASSERT_TRUE(caches[i].Reserve(static_cast<int>(count)));
        items.push_back({std::span(tokens[i]).subspan(done[i], count), &caches[i], static_cast<int>(i % 2)});
        who.push_back(i);
      }
      std::vector<float> logits(items.size() * vocab);
      fixture.transformer->Forward(items, pool, logits.data());
      size_t row = 0;
      for (size_t n = 0; n < items.size(); ++n) {
        const size_t i = who[n];
        done[i] += items[n].tokens.size();
        if (items[n].num_logits == 0) continue;
        EXPECT_TRUE(SameBits(std::span(logits).subspan(row++ * vocab, vocab),
                             std::span(expected[i]).subspan((done[i] - 1) * vocab, vocab)))
            << "sequence " << i << " token " << done[i];
      }
    }
  }
}

std::vector<PureModel> PureModels() {
  const std::vector<int> pairs = {1, 6};
  const auto biased = [&](const char* architecture, TensorType type, float length) {
    return TinyModel{.architecture = architecture, .type = type, .key_bias = length, .bias_pairs = pairs}
        .Bytes();
  };
  const auto gemma = [](const char* architecture, TensorType type) {
    return TinyGemma{.architecture = architecture, .type = type}.Bytes();
  };
  const auto hybrid = [](const char* architecture, TensorType type = TensorType::kQ8_0) {
    return TinyHybrid(architecture, type).Bytes();
  };
  return {
      {"Floats", TinyModel{.type = TensorType::kF32}.Bytes(), "f32"},
      {"Llama", TinyModel{}.Bytes()},
      {"LlamaBiased", biased("llama", TensorType::kQ8_0, 50.0f)},
      {"Qwen2", TinyModel{.architecture = "qwen2", .type = TensorType::kF16}.Bytes()},
      {"Qwen2WholeKeys", biased("qwen2", TensorType::kF16, 300.0f), "f16:bias=off"},
      {"Qwen2Biased", biased("qwen2", TensorType::kQ8_0, 300.0f), "int8"},
      {"Experts", TinyModel{.experts = 5}.Bytes()},
      {"ExpertsOfOddSize", TinyModel{.type = TensorType::kF16, .ffn = 40, .experts = 3}.Bytes()},
      {"Latent", TinyLatent{}.Bytes()},
      {"LatentInt8", TinyLatent{.q_rank = true}.Bytes(), "int8"},
      {"LatentOlder", TinyLatent{.older = true}.Bytes()},
      {"Gemma2", gemma("gemma2", TensorType::kQ8_0), "int8"},
      {"Gemma3n", gemma("gemma3n", TensorType::kF16)},
      {"Gemma3nInt8", gemma("gemma3n", TensorType::kQ8_0), "int8"},
      {"Gemma4", gemma("gemma4", TensorType::kQ8_0)},
      {"Gemma4Int8", gemma("gemma4", TensorType::kF16), "int8"},
      {"Gemma4Experts", TinyGemma{.experts = true}.Bytes()},
      {"Qwen35", hybrid("qwen35")},
      {"Qwen35Moe", hybrid("qwen35moe", TensorType::kF32), "int8"},
      {"Qwen3Next", hybrid("qwen3next")},
      {"Lfm2", hybrid("lfm2", TensorType::kF16), "f32"},
      {"Lfm2Moe", hybrid("lfm2moe")},
      {"GraniteHybrid", hybrid("granitehybrid")},
      {"FalconH1", hybrid("falcon-h1"), "int8"},
  };
}

INSTANTIATE_TEST_SUITE_P(Models, PurityTest, testing::ValuesIn(PureModels()),
                         [](const auto& info) { return info.param.name; });

template <typename Tiny = TinyModel>
std::string Refusal(const Tiny& model) {
  const auto bytes = model.Bytes();
  const GgufFile file(bytes, "tiny");
  try {
    LoadTransformer(file);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Transformer, RefusesWithOneSentence) {
  EXPECT_EQ(Refusal({}), "");
  EXPECT_EQ(Refusal({.without = "blk.1.ffn_up.weight"}),
            "tiny: tensor blk.1.ffn_up.weight is missing; shape [64, 96] is expected");
  EXPECT_EQ(Refusal({.reshaped = "blk.0.attn_k.weight"}),
            "tiny: tensor blk.0.attn_k.weight has shape [96, 32]; [64, 32] is expected");
  EXPECT_TRUE(Refusal({.architecture = "mamba"})
                  .starts_with("tiny: architecture 'mamba' is not supported; these are: llama internlm2 "));
  EXPECT_EQ(Refusal({.kv_heads = 3}), "tiny: 4 query heads cannot share 3 key heads evenly");
  EXPECT_EQ(Refusal({.without = "token_embd.weight"}),
            "tiny: tensor token_embd.weight is missing, or not a table of tokens");
}

TEST(Transformer, TakesKeysThatSayNone) {
  EXPECT_EQ(Refusal({.without = "attention.head_count_kv",
                     .more =
                         [](GgufWriter& writer) {
                           writer.Add("llama.attention.head_count_kv", std::vector<int32_t>{2, 2});
                           writer.Add("llama.expert_count", 0u);
                           writer.Add("llama.attention.causal", true);
                           writer.Add("llama.rope.scaling.attn_factor", 1.0f);
                         }}),
            "");
}

TEST(Transformer, RefusesWhatItWouldLeaveOut) {
  const auto refusal = [](const char* key, auto value) {
    return Refusal({.more = [&](GgufWriter& writer) { writer.Add(key, value); }});
  };
  EXPECT_EQ(refusal("llama.attention.causal", false),
            "tiny: llama.attention.causal is 'false'; this program computes models whose tokens see those "
            "before them");
  EXPECT_EQ(refusal("llama.rope.scaling.type", std::string("spiral")),
            "tiny: llama.rope.scaling.type is 'spiral'; this program computes 'none', 'linear', 'yarn' and "
            "'longrope'");
  EXPECT_EQ(refusal("llama.attention.clamp_kqv", 8.0f),
            "tiny: key llama.attention.clamp_kqv is not among those that 'llama' is computed with");
  EXPECT_EQ(refusal("llama.expert_count", 8u), "tiny: lacks the metadata key 'llama.expert_used_count'");
  const std::vector<float> ones(64, 1.0f);
  EXPECT_EQ(Refusal({.more =
                         [&](GgufWriter& writer) {
                           writer.AddTensor("blk.0.attn_norm.scale", TensorType::kF32,
                                            std::vector<uint64_t>{64},
                                            {reinterpret_cast<const uint8_t*>(ones.data()), 256});
                         }}),
            "tiny: tensor blk.0.attn_norm.scale is not among those that 'llama' is computed with");
}

TEST(Transformer, LayersThatShareKeysNeedALayerThatHasThem) {
  EXPECT_EQ(
      Refusal(TinyGemma{.shared = 3}),
      "tiny: layer 1, without a window, is to use the keys and values of layer 0, which is not such a layer");
  EXPECT_EQ(
      Refusal(TinyGemma{.architecture = "gemma3n", .shared = 4}),
      "tiny: layer 0, with a window, is to use the keys and values of layer -2, which is not such a layer");
}

TEST(Transformer, RefusesAnotherActiveStream) {
  const auto more = [](GgufWriter& writer) { writer.Add("gemma3n.altup.active_idx", 1u); };
  EXPECT_EQ(Refusal(TinyGemma{.architecture = "gemma3n", .more = more}),
            "tiny: gemma3n.altup.active_idx is '1'; this program computes 0");
}

TEST(Transformer, RefusesRecurrentLayersThatDoNotFit) {
  const auto refusal = [](const TinyHybrid& model, const char* key, int value) {
    return Refusal(model.With(key, value));
  };
  const TinyHybrid delta("qwen35", TensorType::kF32);
  const TinyHybrid mamba("granitehybrid", TensorType::kF32);
  EXPECT_EQ(refusal(mamba, "ssm.time_step_rank", 5),
            "tiny: ssm.inner_size is 96, which 5 heads cannot share evenly");
  EXPECT_EQ(refusal(mamba, "ssm.group_count", 3),
            "tiny: 4 heads (ssm.time_step_rank) cannot share 3 groups evenly");
  EXPECT_EQ(refusal(mamba, "ssm.conv_kernel", 1),
            "tiny: granitehybrid.ssm.conv_kernel is 1; 2 to 64 is allowed");
  EXPECT_EQ(refusal(delta, "ssm.inner_size", 192),
            "tiny: ssm.inner_size is 192; 4 heads of size 24 are computed");
  EXPECT_EQ(refusal(delta, "rope.dimension_count", 16), "");
  EXPECT_EQ(refusal(TinyHybrid("lfm2", TensorType::kF32), "shortconv.l_cache", 4),
            "tiny: tensor blk.0.shortconv.conv.weight has shape [3, 64]; [4, 64] is expected");
}

TEST(Transformer, TokensOutsideTheVocabularyAreRefused) {
  const auto bytes = TinyModel().Bytes();
  const GgufFile file(bytes, "tiny");
  Fixture fixture(file, "f32");
  for (const int32_t token : {-1, kVocab}) {
    const std::vector<int32_t> tokens = {1, token};
    EXPECT_THROW(fixture.Run(tokens, 2), Error);
  }
}

TEST(Transformer, DigestTellsWeightsApart) {
  const auto bytes = TinyModel().Bytes();
  auto changed = bytes;
  changed.back() ^= 1;
  const GgufFile a(bytes, "a"), b(bytes, "b"), c(changed, "c");
  EXPECT_EQ(LoadTransformer(a)->WeightsDigest(), LoadTransformer(b)->WeightsDigest());
  EXPECT_NE(LoadTransformer(a)->WeightsDigest(), LoadTransformer(c)->WeightsDigest());
  // Journals and caches keep digests: another value for the same weights makes them those of another model.
  EXPECT_EQ(LoadTransformer(a)->WeightsDigest().Hex(), "d90a9599cd6e9f487f5a4d39a3b53ddb");
}

TEST(Transformer, LoadingReadsNoDigest) {
  auto bytes = TinyModel().Bytes();
  const GgufFile file(bytes, "tiny");
  const auto transformer = LoadTransformer(file);
  bytes.back() ^= 1;
  const GgufFile changed(bytes, "changed");
  EXPECT_EQ(transformer->WeightsDigest(), LoadTransformer(changed)->WeightsDigest());
}

// Against the logits of another implementation, for every architecture and quantisation.
const std::filesystem::path kFolder = std::filesystem::path(THRONG_SHARED_DIR) / "models";

const std::filesystem::path kOwnFolder =
    std::filesystem::path(THRONG_SOURCE_DIR) / "src/model/testing/conformance";

// Paths without ".gguf".
std::vector<std::filesystem::path> ConformanceFiles() {
  std::vector<std::filesystem::path> files;
  for (const auto& folder : {kFolder, kOwnFolder}) {
    if (!std::filesystem::exists(folder)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      const std::filesystem::path stem = entry.path().parent_path() / entry.path().stem();
      if (entry.path().extension() != ".gguf" || !std::filesystem::exists(stem.string() + ".logits.f32"))
        continue;
      files.push_back(stem);
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

class ConformanceTest : public testing::TestWithParam<std::filesystem::path> {
 protected:
  void SetUp() override {
    file_.emplace(GetParam().string() + ".gguf");
    std::ifstream stream(GetParam().parent_path() / "tokens.txt");
    for (int32_t token; stream >> token;) tokens_.push_back(token);
    const std::string bytes = ReadFile(GetParam().string() + ".logits.f32");
    expected_.resize(bytes.size() / 4);
    std::memcpy(expected_.data(), bytes.data(), bytes.size());
    ASSERT_EQ(expected_.size() % tokens_.size(), 0u);
  }
  std::optional<GgufFile> file_;
  std::vector<int32_t> tokens_;
  std::vector<float> expected_;  // [tokens, vocab]
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ConformanceTest);

TEST_P(ConformanceTest, FloatArithmeticAgreesToRounding) {
  Fixture fixture(*file_, "f32", true);
  const auto logits = fixture.Run(tokens_, 1000);
  ASSERT_EQ(logits.size(), expected_.size());
  double largest = 0;
  double difference = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    largest = std::max<double>(largest, std::abs(expected_[i]));
    difference = std::max<double>(difference, std::abs(logits[i] - expected_[i]));
  }
  EXPECT_LE(difference, 1e-3 * largest);
}

TEST_P(ConformanceTest, EightBitActivationsPointTheSameWay) {
  Fixture fixture(*file_, "f32");
  const auto logits = fixture.Run(tokens_, 1000);
  ASSERT_EQ(logits.size(), expected_.size());
  const size_t vocab = logits.size() / tokens_.size();
  std::vector<double> cosines;
  for (size_t t = 0; t < tokens_.size(); ++t) {
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = t * vocab; i < (t + 1) * vocab; ++i) {
      ab += static_cast<double>(logits[i]) * expected_[i];
      aa += static_cast<double>(logits[i]) * logits[i];
      bb += static_cast<double>(expected_[i]) * expected_[i];
    }
    cosines.push_back(ab / std::sqrt(aa * bb));
  }
  EXPECT_GE(*std::min_element(cosines.begin(), cosines.end()), 0.999);
}

TEST(Transformer, RefusesPositionsThatWereNotLearned) {
  const auto path = kFolder / "more/gpt2.F16.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is missing";
  const GgufFile file(path.string());
  Fixture fixture(file, "f32");
  const auto tokens = RandomTokens(257, 320, 1);
  fixture.Run(std::span(tokens).first(256), 64);
  try {
    fixture.Run(tokens, 64);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "position 256 is not one of the model's 0 to 255, which are learned");
  }
}

TEST(Transformer, TellsTheStoryThatTheReferenceTells) {
  const auto path = kFolder / "stories260K.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is missing";
  const GgufFile file(path.string());
  const Tokenizer tokenizer(file);
  Fixture fixture(file, "f32");
  ThreadPool thread_pool(1);
  kv::SequenceCache cache(fixture.pool);
  std::vector<int32_t> tokens = tokenizer.Encode("Once upon a time", {.add_bos = true});
  std::vector<float> logits(static_cast<size_t>(fixture.transformer->Config().vocab_size));
  size_t done = 0;
  for (int i = 0; i < 200; ++i) {
    const std::span<const int32_t> chunk = std::span(tokens).subspan(done);
    ASSERT_TRUE(cache.Reserve(static_cast<int>(chunk.size())));
    const BatchItem item{chunk, &cache, 1};
    fixture.transformer->Forward({&item, 1}, thread_pool, logits.data());
    done = tokens.size();
    tokens.push_back(static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
  }
  const auto trimmed = [](std::string text) {
    text.erase(0, text.find_first_not_of(" \n"));
    text.erase(text.find_last_not_of(" \n") + 1);
    return text;
  };
  EXPECT_EQ(trimmed(tokenizer.Decode(tokens)),
            trimmed(ReadFile((kFolder / "stories260K.greedy200.txt").string())));
}

INSTANTIATE_TEST_SUITE_P(Models, ConformanceTest, testing::ValuesIn(ConformanceFiles()),
                         [](const auto& info) {
                           const std::filesystem::path folder = info.param.parent_path().filename();
                           std::string name = (folder / info.param.filename()).string();
                           std::ranges::replace_if(
                               name, [](char c) { return c == '.' || c == '/' || c == '-'; }, '_');
                           return name;
                         });

}  // namespace
}  // namespace throng::model
