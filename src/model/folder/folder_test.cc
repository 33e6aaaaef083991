#include "model/folder/folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/thread_pool.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "kv/layer_codecs.h"
#include "model/config.h"
#include "model/testing/tiny_folder.h"
#include "model/transformer.h"

namespace throng::model {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

std::vector<float> Logits(const GgufFile& file) {
  const std::unique_ptr<Transformer> transformer = LoadTransformer(file, {});
  kv::CodecFlags flags;
  flags.kv = "f32";
  kv::BlockPool pool(kv::MakeLayout(flags, transformer->Config().cache_layers), size_t{1} << 24,
                     kv::SoftmaxKind::kExact);
  kv::SequenceCache cache(pool);
  ThreadPool threads(1);
  const std::vector<int32_t> tokens = {3, 14, 15, 9, 2, 6, 5, 35};
  std::vector<float> logits(tokens.size() * static_cast<size_t>(transformer->Config().vocab_size));
  EXPECT_TRUE(cache.Reserve(static_cast<int>(tokens.size())));
  const BatchItem item{tokens, &cache, static_cast<int>(tokens.size())};
  transformer->Forward({&item, 1}, threads, logits.data());
  return logits;
}

class FolderTest : public testing::Test {
 protected:
  FolderTest() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(testing::TempDir()) / fmt::format("throng_folder_{}_{}", test->name(), getpid());
  }
  ~FolderTest() override { fs::remove_all(folder_); }

  std::unique_ptr<GgufFile> Open(const TinyFolder& tiny) const {
    tiny.Write(folder_);
    return OpenModel(folder_.string());
  }

  void ExpectEqualLogits(const TinyFolder& tiny) const {
    const std::vector<uint8_t> bytes = tiny.Gguf();
    EXPECT_EQ(Logits(*Open(tiny)), Logits(GgufFile(bytes, "tiny"))) << tiny.model_class;
  }

  // What the folder is refused with.
  std::string Refusal() const {
    try {
      OpenModel(folder_.string());
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  // After a change of the config; null takes a key away.
  std::string RefusalOf(const char* key, const Json& value) const {
    TinyFolder tiny;
    tiny.Write(folder_);
    Json config = tiny.Config();
    config[key] = value;
    TinyFolder::WriteText(folder_ / "config.json", config.dump());
    return Refusal();
  }

  fs::path folder_;
};

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(FolderTest, LlamaHasTheLogitsOfItsGguf) {
  for (const TensorType type : {TensorType::kBF16, TensorType::kF16, TensorType::kF32}) {
    ExpectEqualLogits({.type = type});
  }
  ExpectEqualLogits({.model_class = "MistralForCausalLM", .biases = true});
}

TEST_F(FolderTest, MixtralHasTheLogitsOfItsGguf) {
  ExpectEqualLogits({.model_class = "MixtralForCausalLM",
                     .experts = 3,
                     .more_config = {{"num_local_experts", 3}, {"num_experts_per_tok", 2}},
                     .more_keys = {{"expert_count", 3}, {"expert_used_count", 2}}});
}

TEST_F(FolderTest, QwenHasTheLogitsOfItsGguf) {
  ExpectEqualLogits(
      {.model_class = "Qwen2ForCausalLM", .architecture = "qwen2", .pairs = false, .biases = true});
  ExpectEqualLogits(
      {.model_class = "Qwen3ForCausalLM", .architecture = "qwen3", .pairs = false, .head_norms = true});
}

TEST_F(FolderTest, PhiHasTheLogitsOfItsGguf) {
  ExpectEqualLogits({.model_class = "Phi3ForCausalLM",
                     .architecture = "phi3",
                     .pairs = false,
                     .fused = true,
                     .more_config = {{"sliding_window", 5}},
                     .more_keys = {{"attention.sliding_window", 5}}});
}

TEST_F(FolderTest, GemmaHasTheLogitsOfItsGguf) {
  ExpectEqualLogits({.model_class = "Gemma3ForCausalLM",
                     .architecture = "gemma3",
                     .pairs = false,
                     .head_norms = true,
                     .plus_one = true,
                     .result_norms = true,
                     .more_config = {{"sliding_window", 5}, {"query_pre_attn_scalar", 16}},
                     .more_keys = {{"attention.sliding_window", 5}}});
}

// What makes rows of Llama change places: without biases, Qwen 2 computes the same with rotated halves.
TEST_F(FolderTest, PairedRowsComputeWhatHalvesDo) {
  const std::vector<float> pairs = Logits(*Open({.type = TensorType::kF32}));
  const std::vector<float> halves =
      Logits(*Open({.model_class = "Qwen2ForCausalLM", .type = TensorType::kF32}));
  ASSERT_EQ(pairs.size(), halves.size());
  float largest = 0.0f, difference = 0.0f;
  for (size_t i = 0; i < pairs.size(); ++i) {
    largest = std::max(largest, std::abs(halves[i]));
    difference = std::max(difference, std::abs(pairs[i] - halves[i]));
  }
  EXPECT_LT(difference, 1e-3f * largest);
}

TEST_F(FolderTest, MatricesStayMappedAndVectorsAreFloats) {
  const std::unique_ptr<GgufFile> file = Open({});
  EXPECT_EQ(file->FindTensor("blk.0.ffn_down.weight")->type, TensorType::kBF16);
  EXPECT_EQ(file->FindTensor("blk.0.ffn_norm.weight")->type, TensorType::kF32);
  EXPECT_EQ(file->Uint("llama.rope.dimension_count"), 16u);
}

TEST_F(FolderTest, DataNeedNotBeAligned) {
  const TinyFolder tiny{.type = TensorType::kF32};
  const std::vector<float> aligned = Logits(*Open(tiny));
  std::string file = ReadFile((folder_ / "model.safetensors").string());
  file[0] = static_cast<char>(file[0] + 1);  // the length, a multiple of 8
  file.insert(
      8 + static_cast<size_t>(static_cast<uint8_t>(file[0])) + 256 * static_cast<uint8_t>(file[1]) - 1, " ");
  TinyFolder::WriteText(folder_ / "model.safetensors", file);
  EXPECT_EQ(Logits(*OpenModel(folder_.string())), aligned);
}

TEST_F(FolderTest, ShardsAreOneModel) {
  const TinyFolder tiny;
  const std::vector<float> whole = Logits(*Open(tiny));
  const std::vector<TinyFolder::Tensor> all = tiny.Tensors();
  Json map = Json::object();
  for (size_t i = 0; i < all.size(); ++i) map[all[i].stored] = i < 5 ? "a.safetensors" : "b.safetensors";
  fs::remove(folder_ / "model.safetensors");
  TinyFolder::WriteText(folder_ / "a.safetensors", tiny.Safetensors({all.begin(), all.begin() + 5}));
  TinyFolder::WriteText(folder_ / "b.safetensors", tiny.Safetensors({all.begin() + 5, all.end()}));
  TinyFolder::WriteText(folder_ / "model.safetensors.index.json", Json{{"weight_map", map}}.dump());
  EXPECT_EQ(Logits(*OpenModel(folder_.string())), whole);

  TinyFolder::WriteText(folder_ / "b.safetensors", tiny.Safetensors({all.begin() + 4, all.end()}));
  EXPECT_TRUE(Contains(Refusal(), "is in an earlier file too")) << Refusal();
  TinyFolder::WriteText(folder_ / "b.safetensors", tiny.Safetensors({all.begin() + 6, all.end()}));
  EXPECT_TRUE(Contains(Refusal(), "lacks tensor '" + all[5].stored)) << Refusal();
  fs::remove(folder_ / "b.safetensors");
  EXPECT_TRUE(Contains(Refusal(), "b.safetensors: cannot open")) << Refusal();
  map[all[0].stored] = "../a.safetensors";
  TinyFolder::WriteText(folder_ / "model.safetensors.index.json", Json{{"weight_map", map}}.dump());
  EXPECT_TRUE(Contains(Refusal(), "the name of a file in the folder")) << Refusal();
}

TEST_F(FolderTest, Llama3DividesLowFrequencies) {
  const Json scaling = {{"rope_type", "llama3"},
                        {"factor", 8.0},
                        {"low_freq_factor", 1.0},
                        {"high_freq_factor", 4.0},
                        {"original_max_position_embeddings", 64}};
  const std::unique_ptr<GgufFile> file = Open({.more_config = {{"rope_scaling", scaling}}});
  const TensorInfo* factors = file->FindTensor("rope_freqs.weight");
  ASSERT_NE(factors, nullptr);
  const auto* values = reinterpret_cast<const float*>(factors->data.data());
  // Wavelengths 2 pi 10^(i / 2): 6.3 is below 64 / 4; 19.9 is between that and 64; the others are beyond.
  EXPECT_EQ(values[0], 1.0f);
  const double wavelength = 2 * M_PI * std::sqrt(10.0), mix = (64 / wavelength - 1) / 3;
  EXPECT_NEAR(static_cast<double>(values[1]), 1 / ((1 - mix) / 8 + mix), 1e-4);
  for (int i = 3; i < 8; ++i) EXPECT_EQ(values[i], 8.0f);
  Logits(*file);
}

TEST_F(FolderTest, NewerConfigsHaveRopeParameters) {
  const Json rope = {{"rope_type", "yarn"},
                     {"rope_theta", 5e5},
                     {"factor", 4.0},
                     {"attention_factor", 1.25},
                     {"original_max_position_embeddings", 512}};
  const std::unique_ptr<GgufFile> file = Open({.more_config = {{"rope_parameters", rope}}});
  EXPECT_EQ(file->Float("llama.rope.freq_base"), 5e5);
  EXPECT_EQ(file->String("llama.rope.scaling.type"), "yarn");
  EXPECT_EQ(file->Uint("llama.rope.scaling.original_context_length"), 512u);
  EXPECT_EQ(file->Float("llama.rope.scaling.yarn_attn_factor"), 1.25);
}

TEST_F(FolderTest, WeightsOfExpertsAddUpToOneWhereTheConfigSaysSo) {
  for (const bool normalised : {true, false}) {
    const std::unique_ptr<GgufFile> file = Open({.model_class = "Qwen3MoeForCausalLM",
                                                 .more_config = {{"num_experts", 4},
                                                                 {"num_experts_per_tok", 2},
                                                                 {"moe_intermediate_size", 32},
                                                                 {"norm_topk_prob", normalised}}});
    EXPECT_EQ(file->Bool("qwen3moe.expert_weights_norm"), normalised);
  }
}

TEST_F(FolderTest, RefusesConfigsInOneSentence) {
  EXPECT_TRUE(Contains(RefusalOf("architectures", {"OddForCausalLM"}), "'OddForCausalLM' is not supported"));
  EXPECT_TRUE(Contains(RefusalOf("architectures", 3), "lacks the key architectures"));
  EXPECT_TRUE(Contains(RefusalOf("hidden_size", nullptr), "config.json: lacks the key hidden_size"));
  EXPECT_TRUE(Contains(RefusalOf("hidden_size", -1), "hidden_size is '-1'"));
  EXPECT_TRUE(Contains(RefusalOf("num_hidden_layers", 1e9), "num_hidden_layers is"));
  EXPECT_TRUE(Contains(RefusalOf("hidden_act", "relu"), "hidden_act is 'relu'"));
  EXPECT_TRUE(
      Contains(RefusalOf("rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}}), "type is 'dynamic'"));
  EXPECT_TRUE(
      Contains(RefusalOf("quantization_config", {{"quant_method", "gptq"}}), "quant_method is 'gptq'"));
  EXPECT_TRUE(Contains(RefusalOf("quantization_config", {{"quant_method", "awq"}}), "quant_method is 'awq'"));
  EXPECT_TRUE(Contains(RefusalOf("num_key_value_heads", 0), "rows for 0 heads"));
  EXPECT_TRUE(Contains(RefusalOf("is_causal", false), "is_causal is 'false'; this program computes true"));
  EXPECT_TRUE(
      Contains(RefusalOf("use_bidirectional_attention", true), "use_bidirectional_attention is 'true'"));
}

TEST_F(FolderTest, RefusesOtherTensors) {
  TinyFolder tiny;
  tiny.Write(folder_);
  std::vector<TinyFolder::Tensor> tensors = tiny.Tensors();
  tensors[3].stored = "model.layers.0.self_attn.odd_proj.weight";
  TinyFolder::WriteText(folder_ / "model.safetensors", tiny.Safetensors(tensors));
  EXPECT_TRUE(
      Contains(Refusal(), "'model.layers.0.self_attn.odd_proj.weight' is not among those that a LlamaFor"));
  fs::remove(folder_ / "model.safetensors");
  EXPECT_TRUE(Contains(Refusal(), "has neither model.safetensors nor model.safetensors.index.json"));
  fs::remove(folder_ / "config.json");
  EXPECT_TRUE(Contains(Refusal(), "lacks config.json"));
}

// Four elements of MXFP4 as gpt-oss stores them become those that GGUF's format means.
TEST_F(FolderTest, GptOssKeepsItsCodes) {
  Json header;
  std::string data;
  const auto add = [&](const std::string& name, const char* dtype, std::vector<uint64_t> shape,
                       const std::string& bytes) {
    header[name] = {
        {"dtype", dtype}, {"shape", shape}, {"data_offsets", {data.size(), data.size() + bytes.size()}}};
    data += bytes;
  };
  // Two rows of 32 weights, a gate and an up; each byte has two neighbours, the first in its low bits.
  std::string codes;
  for (int i = 0; i < 32; ++i) codes += static_cast<char>(i * 37);
  add("model.layers.0.mlp.experts.gate_up_proj_blocks", "U8", {1, 2, 1, 16}, codes);
  add("model.layers.0.mlp.experts.gate_up_proj_scales", "U8", {1, 2, 1}, "\x7f\x80");
  const TinyFolder tiny{
      .model_class = "GptOssForCausalLM",
      .more_config = {{"num_local_experts", 1}, {"num_experts_per_tok", 1}, {"sliding_window", 128}}};
  tiny.Write(folder_);
  TinyFolder::WriteText(folder_ / "model.safetensors", TinyFolder::File(header.dump(), data));
  const std::unique_ptr<GgufFile> file = OpenModel(folder_.string());
  const float values[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0f, -0.5, -1, -1.5, -2, -3, -4, -6};
  for (const auto& [name, row, scale] : {std::tuple("gate", 0, 1.0f), std::tuple("up", 1, 2.0f)}) {
    const TensorInfo* tensor = file->FindTensor(fmt::format("blk.0.ffn_{}_exps.weight", name));
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->Shape(), "[32, 1, 1]");
    std::vector<float> floats(32);
    DequantizeRow(tensor->type, tensor->data.data(), 32, floats.data());
    for (int i = 0; i < 32; ++i) {
      const auto byte = static_cast<uint8_t>(codes[static_cast<size_t>(16 * row + i / 2)]);
      EXPECT_EQ(floats[static_cast<size_t>(i)], scale * values[byte >> (i % 2 * 4) & 15]) << name << " " << i;
    }
  }
}

}  // namespace
}  // namespace throng::model
