// What files say in more than one way, and keys that stand for more than one thing.
#include "model/load/builder.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "kv/layer_codecs.h"
#include "model/gguf/gguf.h"
#include "model/load/inspection.h"
#include "model/load/refusals.h"
#include "model/testing/tiny_latent.h"
#include "model/testing/tiny_model.h"
#include "model/transformer.h"

namespace throng::model {
namespace {

using More = std::function<void(GgufWriter&)>;

void AddVector(GgufWriter& writer, const std::string& name, const std::vector<float>& values) {
  const uint64_t dims[] = {values.size()};
  writer.AddTensor(name, TensorType::kF32, dims,
                   {reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(float)});
}

// A tiny model of `architecture`; `sentences` say what it lacks.
struct Built {
  explicit Built(const std::string& architecture, const More& more = {}, int experts = 0)
      : bytes(TinyModel{.architecture = architecture, .experts = experts, .more = more}.Bytes()) {
    Refusals refusals(/*gathers=*/true);
    model = BuildModel(file, refusals);
    for (const Error& error : refusals.Errors()) sentences += error.what();
  }
  const std::vector<double>& Of(size_t rope) const { return model->ropes.at(rope)->table.Frequencies(); }

  std::vector<uint8_t> bytes;
  GgufFile file{bytes, "tiny"};
  std::unique_ptr<Model> model;
  std::string sentences;
};

TEST(FileRope, OldKeyOfTheStretchIsForFilesWithoutTheNewOne) {
  const double own = Built("llama").Of(0)[1];
  const auto stretched = [&](const More& more) { return own / Built("llama", more).Of(0)[1]; };
  EXPECT_FLOAT_EQ(stretched([](GgufWriter& file) { file.Add("llama.rope.scale_linear", 4.0f); }), 4.0);
  EXPECT_FLOAT_EQ(stretched([](GgufWriter& file) {
                    file.Add("llama.rope.scale_linear", 4.0f);
                    file.Add("llama.rope.scaling.factor", 2.0f);
                  }),
                  2.0);
}

TEST(FileRope, StretchOfZeroIsNone) {
  const Built ropes("llama", [](GgufWriter& file) { file.Add("llama.rope.scaling.factor", 0.0f); });
  EXPECT_EQ(ropes.sentences, "");
  EXPECT_EQ(ropes.Of(0), Built("llama").Of(0));
  EXPECT_THROW(Built("llama", [](GgufWriter& file) { file.Add("llama.rope.scaling.factor", -1.0f); }), Error);
}

TEST(FileRope, LongRopeStretchesToo) {
  const Built ropes("llama", [](GgufWriter& file) {
    file.Add("llama.rope.scaling.type", "longrope");
    file.Add("llama.rope.scaling.factor", 2.0f);
    for (const char* name : {"rope_factors_long.weight", "rope_factors_short.weight"}) {
      AddVector(file, name, std::vector<float>(8, 3.0f));
    }
  });
  EXPECT_EQ(ropes.sentences, "");
  EXPECT_FLOAT_EQ(Built("llama").Of(0)[1] / ropes.Of(0)[1], 6.0);
}

TEST(FileRope, YarnsFactorMayBeInTheFile) {
  const auto magnitude = [](const More& more) {
    const Built ropes("llama", [&](GgufWriter& file) {
      file.Add("llama.rope.scaling.type", "yarn");
      file.Add("llama.rope.scaling.factor", 8.0f);
      if (more) more(file);
    });
    EXPECT_EQ(ropes.sentences, "");
    return ropes.model->ropes[0]->table.Magnitude();
  };
  EXPECT_FLOAT_EQ(magnitude({}), 1.0 + 0.1 * std::log(8.0));
  EXPECT_FLOAT_EQ(magnitude([](GgufWriter& file) { file.Add("llama.rope.scaling.yarn_attn_factor", 1.5f); }),
                  1.5);
}

TEST(FileRope, YarnsMultiplierOfZeroIsNone) {
  const auto yarn = [](GgufWriter& file) {
    file.Add("llama.rope.scaling.type", "yarn");
    file.Add("llama.rope.scaling.factor", 8.0f);
  };
  const Built none("llama", [&](GgufWriter& file) {
    yarn(file);
    file.Add("llama.rope.scaling.yarn_log_multiplier", 0.0f);
  });
  EXPECT_EQ(none.sentences, "");
  EXPECT_EQ(none.model->ropes[0]->table.Magnitude(), Built("llama", yarn).model->ropes[0]->table.Magnitude());
}

TEST(WindowRope, HasItsOwnBaseAndTheStretchOfAll) {
  for (const std::string architecture : {"cohere2", "gpt-oss", "llama4"}) {
    const int experts = architecture == "cohere2" ? 0 : 4;
    const auto more = [&](float base) {
      return [&architecture, base](GgufWriter& file) {
        file.Add(architecture + ".attention.sliding_window", 32u);
        file.Add(architecture + ".interleave_moe_layer_step", 1u);
        file.Add(architecture + ".rope.scaling.factor", 4.0f);
        if (base > 0) file.Add(architecture + ".rope.freq_base_swa", base);
      };
    };
    const Built one(architecture, more(0), experts);
    const Built two(architecture, more(500.0f), experts);
    EXPECT_EQ(one.model->ropes.size(), 1u) << architecture;
    ASSERT_EQ(two.model->ropes.size(), 2u) << architecture;
    EXPECT_EQ(two.Of(0), one.Of(0)) << architecture;
    EXPECT_NEAR(two.Of(1)[1], std::pow(500.0, -2.0 / 16) / 4, 1e-6) << architecture;
    EXPECT_EQ(two.sentences.find("freq_base_swa"), std::string::npos) << two.sentences;
  }
}

// Pictures' coordinates turn halves, if there are at least two of them.
TEST(Glm4, RotatesNeighboursUnlessPositionsHaveTwoSections) {
  const auto halves = [](std::array<int32_t, 4> sections) {
    const Built ropes("glm4", [sections](GgufWriter& file) {
      file.Add("glm4.rope.dimension_sections", std::span<const int32_t>(sections));
    });
    return ropes.model->ropes[0]->rotation.halves;
  };
  EXPECT_TRUE(halves({2, 3, 3, 0}));
  EXPECT_FALSE(halves({8, 0, 0, 0}));
  EXPECT_FALSE(halves({0, 0, 0, 0}));
  for (const std::string architecture : {"glm4", "glm4moe"}) {
    const Built four(
        architecture,
        [&](GgufWriter& file) {
          const std::array<int32_t, 4> sections = {2, 2, 2, 2};
          file.Add(architecture + ".rope.dimension_sections", std::span<const int32_t>(sections));
        },
        /*experts=*/4);
    EXPECT_NE(
        four.sentences.find("rope.dimension_sections is 'of four sections'; this program computes three"),
        std::string::npos)
        << four.sentences;
  }
}

// Of some tokens, enough of them for positions to matter.
std::vector<float> Logits(const std::vector<uint8_t>& bytes) {
  const GgufFile file(bytes, "tiny");
  const auto transformer = LoadTransformer(file);
  const ModelConfig& config = transformer->Config();
  kv::BlockPool pool(
      kv::WithReaches(kv::MakeLayout(kv::CodecFlags{.kv = "f32"}, config.cache_layers), config.cache_reaches),
      size_t{1} << 26);
  kv::SequenceCache cache(pool);
  const std::vector<int32_t> tokens = {1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_TRUE(cache.Reserve(static_cast<int>(tokens.size())));
  std::vector<float> logits(static_cast<size_t>(config.vocab_size));
  ThreadPool threads(1);
  const BatchItem item{tokens, &cache, 1};
  transformer->Forward({&item, 1}, threads, logits.data());
  return logits;
}

// Only Granite's dense and hybrid files say with it whether there are rotations.
TEST(Granite, FinetunedScalingMeansNothingForExperts) {
  const auto logits = [](const std::string& architecture, bool finetuned) {
    return Logits(TinyModel{
        .architecture = architecture,
        .experts = architecture == "granitemoe" ? 4 : 0,
        .more = [&](GgufWriter& file) {
          file.Add(architecture + ".rope.scaling.finetuned", finetuned);
        }}.Bytes());
  };
  EXPECT_EQ(logits("granitemoe", false), logits("granitemoe", true));
  EXPECT_NE(logits("granite", false), logits("granite", true));
}

// Converters write keys of experts and of recurrent layers of all of Granite 4, whatever a model has.
TEST(Granite, KeysOfWhatIsNotThereMeanNothing) {
  const auto more = [](const std::string& architecture) {
    return [architecture](GgufWriter& file) {
      for (const char* key : {"expert_count", "expert_used_count"}) file.Add(architecture + "." + key, 0u);
      for (const char* key : {"expert_shared_feed_forward_length", "ssm.conv_kernel", "ssm.inner_size",
                              "ssm.state_size", "ssm.time_step_rank", "ssm.group_count"}) {
        file.Add(architecture + "." + key, 4u);
      }
    };
  };
  const Built granite("granite", [&](GgufWriter& file) {
    more("granite")(file);
    file.Add("granite.deepstack_mapping", std::span<const int32_t>(std::array{-1, 1}));
  });
  EXPECT_EQ(granite.sentences, "");
  EXPECT_EQ(LayerGroups(*granite.model).at(0).description, "attention; feed-forward");
  EXPECT_NE(Built("llama", more("llama")).sentences.find("llama.ssm.inner_size"), std::string::npos);
}

TEST(DeepSeek2, HasNoExpertsWhereFilesSayNone) {
  const std::vector<uint8_t> bytes = TinyLatent{}.Bytes();
  const GgufFile with(bytes, "tiny");
  GgufWriter writer;
  for (const std::string_view key : with.Keys()) {
    if (key != "deepseek2.expert_count" && key != "deepseek2.expert_used_count") writer.Copy(key, with);
  }
  for (const TensorInfo& tensor : with.Tensors()) {
    const bool of_norm = tensor.name.ends_with("ffn_norm.weight");
    if (tensor.name.starts_with("blk.1.ffn_") && !of_norm) continue;
    const auto dims = std::span(tensor.dims).first(tensor.num_dims);
    writer.AddTensor(tensor.name, tensor.type, dims, tensor.data);
    if (!tensor.name.starts_with("blk.0.ffn_") || of_norm) continue;
    writer.AddTensor("blk.1." + std::string(tensor.name.substr(6)), tensor.type, dims, tensor.data);
  }
  const std::vector<uint8_t> dense = writer.Finish();
  const Inspection inspection = Inspect(GgufFile(dense, "tiny"));
  EXPECT_EQ(LayerGroups(*inspection.model).at(0).description, "latent attention; feed-forward");
}

// GLM-4.7-Flash, whose files do not say it, is known by its layers and tokens.
TEST(DeepSeek2, ScoresExpertsBySigmoidInFilesOfGlm) {
  const auto logits = [](uint64_t vocab, int gating) {
    const std::vector<uint8_t> bytes = TinyLatent{}.Bytes();
    const GgufFile file(bytes, "tiny");
    GgufWriter writer;
    for (const std::string_view key : file.Keys()) {
      if (key != "deepseek2.block_count") writer.Copy(key, file);
    }
    writer.Add("deepseek2.block_count", 47u);
    if (gating > 0) writer.Add("deepseek2.expert_gating_func", static_cast<uint32_t>(gating));
    for (const TensorInfo& tensor : file.Tensors()) {
      const std::string name(tensor.name);
      const auto dims = std::span(tensor.dims).first(tensor.num_dims);
      if (name == "token_embd.weight") {
        std::vector<uint8_t> rows;
        for (uint64_t i = 0; i < vocab / TinyLatent::kVocab; ++i) {
          rows.insert(rows.end(), tensor.data.begin(), tensor.data.end());
        }
        writer.AddTensor(name, tensor.type, std::array{dims[0], vocab}, rows);
        continue;
      }
      writer.AddTensor(name, tensor.type, dims, tensor.data);
      for (int i = 2; i < 47 && name.starts_with("blk.1."); ++i) {
        writer.AddTensor("blk." + std::to_string(i) + name.substr(5), tensor.type, dims, tensor.data);
      }
    }
    return Logits(writer.Finish());
  };
  EXPECT_EQ(logits(154880, 0), logits(154880, 2));
  EXPECT_EQ(logits(154880 - TinyLatent::kVocab, 0), logits(154880 - TinyLatent::kVocab, 1));
  EXPECT_NE(logits(154880, 0), logits(154880, 1));
}

// The same file with the matrices of queries, keys and values in one, whose rows are theirs.
std::vector<uint8_t> Fused(const std::vector<uint8_t>& bytes) {
  const GgufFile file(bytes, "tiny");
  GgufWriter writer;
  for (const std::string_view key : file.Keys()) writer.Copy(key, file);
  for (const TensorInfo& tensor : file.Tensors()) {
    const std::string block(tensor.name.substr(0, 6));
    if (tensor.name == block + "attn_k.weight" || tensor.name == block + "attn_v.weight") continue;
    const auto dims = std::span(tensor.dims).first(tensor.num_dims);
    if (tensor.name != block + "attn_q.weight") {
      writer.AddTensor(tensor.name, tensor.type, dims, tensor.data);
      continue;
    }
    std::vector<uint8_t> rows;
    uint64_t count = 0;
    for (const char* name : {"attn_q.weight", "attn_k.weight", "attn_v.weight"}) {
      const TensorInfo* part = file.FindTensor(block + name);
      rows.insert(rows.end(), part->data.begin(), part->data.end());
      count += part->dims[1];
    }
    writer.AddTensor(block + "attn_qkv.weight", tensor.type, std::array{tensor.dims[0], count}, rows);
  }
  return writer.Finish();
}

TEST(Projections, BiasesMayBeApartWhereMatricesAreOne) {
  const std::vector<uint8_t> apart = TinyModel{.architecture = "qwen2"}.Bytes();
  EXPECT_EQ(Logits(Fused(apart)), Logits(apart));
}

// A length of keys alone does not say that of values.
TEST(Projections, ValuesAreTheStreamsShareOfAHeadIfTheFileDoesNotSay) {
  const std::vector<uint8_t> bytes = TinyModel{.head_dim = 24, .without = "attention.value_length"}.Bytes();
  const GgufFile file(bytes, "tiny");
  Refusals refusals(/*gathers=*/true);
  BuildModel(file, refusals);
  ASSERT_FALSE(refusals.Errors().empty());
  EXPECT_STREQ(refusals.Errors().front().what(),
               "tiny: tensor blk.0.attn_v.weight has shape [64, 48]; [64, 32] is expected");
}

TEST(WindowedLayers, AreNamedByBoolsOrNumbers) {
  const auto reaches = [](const auto& pattern) {
    const Built ropes("cohere2", [&](GgufWriter& file) {
      file.Add("cohere2.attention.sliding_window", 32u);
      file.Add("cohere2.attention.sliding_window_pattern", std::span(pattern));
    });
    return ropes.model->config.cache_reaches;
  };
  const auto of_bools = reaches(std::array{true, false});
  EXPECT_EQ(of_bools.at(0).window, 32);
  EXPECT_EQ(of_bools.at(1).window, 0);
  EXPECT_EQ(reaches(std::array<int32_t, 2>{1, 0}), of_bools);
}

TEST(Hunyuan, HasExpertsInTheArchitectureThatIsNamedForThem) {
  const Built experts("hunyuan-moe", {}, /*experts=*/4);
  EXPECT_EQ(experts.sentences, "");
  EXPECT_EQ(LayerGroups(*experts.model).at(0).description, "attention; 2 of 4 experts");
}

TEST(Hunyuan, MayClaimOneExpertWithoutHavingAny) {
  const Built dense("hunyuan-dense", [](GgufWriter& file) { file.Add("hunyuan-dense.expert_count", 1u); });
  EXPECT_EQ(dense.sentences, "");
  EXPECT_EQ(LayerGroups(*dense.model).at(0).description, "attention; feed-forward");
}

TEST(Qwen35, RefusesOneValueForAllLayers) {
  const Built one("qwen35", [](GgufWriter& file) {
    const std::array<int32_t, 4> sections = {3, 3, 2, 0};
    file.Add("qwen35.rope.dimension_sections", std::span<const int32_t>(sections));
    file.Add("qwen35.attention.recurrent_layers", true);
    file.Add("qwen35.full_attention_interval", 1u);
  });
  EXPECT_NE(one.sentences.find("attention.recurrent_layers is 'one value'"), std::string::npos)
      << one.sentences;
}

}  // namespace
}  // namespace throng::model
