#include "model/load/inspection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/mapped_file.h"
#include "model/gguf/gguf.h"
#include "model/gguf/gguf_writer.h"
#include "model/load/refusals.h"
#include "model/testing/tiny_latent.h"
#include "model/testing/tiny_model.h"
#include "model/transformer.h"

namespace throng::model {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> Refused(const GgufFile& file) {
  Refusals refusals(/*gathers=*/true);
  BuildModel(file, refusals);
  std::vector<std::string> sentences;
  for (const Error& error : refusals.Errors()) sentences.emplace_back(error.what());
  return sentences;
}

std::string Thrown(const GgufFile& file) {
  try {
    LoadTransformer(file);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// The names that the refusal of another one gives.
std::vector<std::string> SupportedArchitectures() {
  GgufWriter writer;
  writer.Add("general.architecture", "none");
  const std::vector<uint8_t> bytes = writer.Finish();
  const std::string sentence = Thrown(GgufFile(bytes, "none"));
  std::istringstream names(sentence.substr(sentence.find("these are:") + 10));
  return {std::istream_iterator<std::string>(names), {}};
}

// A file in one part of each architecture that the shared models have, else our tiny ones.
std::map<std::string, std::vector<uint8_t>> FilesByArchitecture() {
  std::map<std::string, std::vector<uint8_t>> files;
  const std::filesystem::path folder = std::filesystem::path(THRONG_SHARED_DIR) / "models";
  if (!std::filesystem::exists(folder)) {
    return {{"llama", TinyModel{}.Bytes()},
            {"qwen2", TinyModel{.architecture = "qwen2"}.Bytes()},
            {"phi3", TinyModel{.window = 8}.Bytes()},
            {"deepseek2", TinyLatent{}.Bytes()}};
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".gguf") continue;
    const GgufFile file(entry.path().string());
    if (file.UintOr("split.count", 1) > 1) continue;
    std::vector<uint8_t>& bytes = files[std::string(file.String("general.architecture"))];
    if (!bytes.empty()) continue;
    const MappedFile mapped(entry.path().string());
    bytes.assign(mapped.Bytes().begin(), mapped.Bytes().end());
  }
  return files;
}

// The same with a key and a tensor that nobody knows.
std::vector<uint8_t> WithStrangers(const GgufFile& file, const std::string& key, const std::string& tensor) {
  GgufWriter writer;
  for (const std::string_view name : file.Keys()) writer.Copy(name, file);
  writer.Add(key, 1u);
  for (const TensorInfo& info : file.Tensors()) {
    writer.AddTensor(info.name, info.type, std::span(info.dims).first(static_cast<size_t>(info.num_dims)),
                     info.data);
  }
  const std::vector<uint8_t> four(4);
  writer.AddTensor(tensor, TensorType::kF32, std::vector<uint64_t>{1}, four);
  return writer.Finish();
}

TEST(Refusals, StrangersInFilesOfEveryArchitectureAreNamed) {
  const auto files = FilesByArchitecture();
  const bool has_shared = std::filesystem::exists(std::filesystem::path(THRONG_SHARED_DIR) / "models");
  const std::string tensor = "blk.0.stranger.weight";
  size_t tried = 0;
  for (const std::string& architecture : SupportedArchitectures()) {
    SCOPED_TRACE(architecture);
    const auto bytes = files.find(architecture);
    if (bytes == files.end()) continue;
    ++tried;
    const std::string key = architecture + ".stranger";
    const auto with = WithStrangers(GgufFile(bytes->second, "file"), key, tensor);
    const GgufFile file(with, "file");
    const std::string rest = " is not among those that '" + architecture + "' is computed with";
    EXPECT_EQ(Thrown(file), "file: tensor " + tensor + rest);
    EXPECT_THAT(Refused(file), ElementsAre("file: tensor " + tensor + rest, "file: key " + key + rest));
  }
  EXPECT_GE(tried, has_shared ? 38u : 4u);  // a few architectures have no file there
  if (!has_shared) GTEST_SKIP() << THRONG_SHARED_DIR << " is missing: tried tiny models only";
}

TEST(Refusals, NamesThatAreManyAreCounted) {
  EXPECT_EQ(NamesAre("tensor", {"a"}), "tensor a is");
  EXPECT_EQ(NamesAre("key", {"a", "b", "c"}), "keys a, b and c are");
  const std::vector<std::string_view> names(30, "x");
  EXPECT_EQ(NamesAre("tensor", names), "tensors x, x, x, x, x, x, x, x, x, x, x and 19 more are");
  EXPECT_EQ(NamesAre("key", {std::string(1000, 'k')}), "key " + std::string(100, 'k') + " is");
}

TEST(Refusals, AllAreGathered) {
  const TinyModel tiny{
      .without = "blk.1.ffn_up.weight", .reshaped = "blk.0.attn_k.weight", .more = [](GgufWriter& writer) {
        writer.Add("llama.attention.causal", false);
        writer.Add("llama.stranger", 1u);
        writer.Add("llama.other", 1u);
      }};
  const auto bytes = tiny.Bytes();
  EXPECT_THAT(Refused(GgufFile(bytes, "tiny")),
              ElementsAre(HasSubstr("attention.causal"), HasSubstr("blk.0.attn_k.weight has shape"),
                          HasSubstr("blk.1.ffn_up.weight is missing"),
                          HasSubstr("keys llama.stranger and llama.other are not among")));
}

TEST(Refusals, LayersNeedHeads) {
  const TinyModel tiny{.without = "attention.head_count_kv", .more = [](GgufWriter& writer) {
                         writer.Add("llama.attention.head_count_kv", std::vector<int32_t>{2, 0});
                       }};
  const auto bytes = tiny.Bytes();
  EXPECT_EQ(Thrown(GgufFile(bytes, "tiny")),
            "tiny: layer 1 has 4 query heads and 0 key heads; both are needed");
}

TEST(Refusals, OneEpsilonUnderTwoNames) {
  const auto thrown = [](float epsilon) {
    const TinyModel tiny{
        .more = [&](GgufWriter& writer) { writer.Add("llama.attention.layer_norm_epsilon", epsilon); }};
    const auto bytes = tiny.Bytes();
    return Thrown(GgufFile(bytes, "tiny"));
  };
  EXPECT_EQ(thrown(1e-5f), "");
  EXPECT_THAT(thrown(1e-6f), HasSubstr("llama.attention.layer_norm_epsilon is '1e-06'"));
}

TEST(Inspection, AHeaderGivesTheModelThatAWholeFileGives) {
  for (const auto& whole : {TinyModel{.rope_factors = true}.Bytes(), TinyModel{.window = 8}.Bytes(),
                            TinyModel{.experts = 4}.Bytes(), TinyLatent{}.Bytes(),
                            TinyLatent{.older = true, .q_rank = true}.Bytes()}) {
    const GgufFile file(whole, "whole");
    // Tensors begin at a multiple of 32, after their descriptions.
    const size_t size = static_cast<size_t>(file.Tensors()[0].data.data() - whole.data());
    const GgufFile header(std::span<const uint8_t>(whole).first(size), "header", GgufUse::kHeader);
    Refusals refusals(/*gathers=*/true);
    const auto expected = BuildModel(file);
    const auto model = BuildModel(header, refusals);
    EXPECT_TRUE(refusals.Errors().empty());
    EXPECT_EQ(model->config.cache_layers, expected->config.cache_layers);
    EXPECT_EQ(WeightBytes(header), WeightBytes(file));
    ASSERT_EQ(LayerGroups(*model).size(), LayerGroups(*expected).size());
    for (size_t i = 0; i < LayerGroups(*model).size(); ++i) {
      EXPECT_EQ(LayerGroups(*model)[i].description, LayerGroups(*expected)[i].description);
    }
  }
}

}  // namespace
}  // namespace throng::model
