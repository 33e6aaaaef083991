// Purity for every codec of the table, and with a trained model.

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "attention/sas.h"
#include "base/error.h"
#include "engine/testing/purity_check.h"
#include "model/gguf/gguf.h"
#include "model/testing/tiny_model.h"

namespace throng::engine {
namespace {

std::vector<std::string> AllCodecs() {
  std::vector<std::string> names;
  for (const kv::CodecEntry& entry : kv::CodecTable()) names.push_back(entry.name);
  names.insert(names.end(), {"flashq4:buffer=int8", "flashq2:buffer=int8"});
  names.insert(names.end(), {"gear2:sink=64,recent=64", "kvarn:recent=128", "rot2:sink=128",
                             "kivi3:sink=64,recent=128", "flashq2:buffer=int8,recent=64"});
  return names;
}

// Some codecs do not work for every head size.
bool Allows(const std::string& codec, int head_dim) {
  try {
    kv::ParseHeadCodecs(codec, 1, head_dim);
    return true;
  } catch (const Error&) {
    return false;
  }
}

class EnginePuritySlow : public ::testing::TestWithParam<std::string> {};

TEST_P(EnginePuritySlow, RandomModelsOfAllKindsOfWeights) {
  using model::TensorType;
  for (const TensorType type : {TensorType::kF32, TensorType::kF16, TensorType::kQ4_0}) {
    SCOPED_TRACE(model::TensorTypeName(type));
    const std::vector<uint8_t> bytes = model::TinyModel{.type = type, .head_dim = 64}.Bytes();
    const model::GgufFile file(bytes, "tiny");
    const auto transformer = model::LoadTransformer(file);
    PurityCheck(*transformer, GetParam()).Run();
  }
}

TEST_P(EnginePuritySlow, ARandomModelWithBiasedKeys) {
  for (const float bias : {20.0f, 900.0f}) {
    SCOPED_TRACE(bias);
    const std::vector<uint8_t> bytes = model::TinyModel{
        .architecture = "qwen2",
        .type = model::TensorType::kQ4_0,
        .head_dim = 64,
        .key_bias = bias,
        .bias_pairs = {1, 9, 30}}.Bytes();
    const model::GgufFile file(bytes, "tiny");
    const auto transformer = model::LoadTransformer(file);
    PurityCheck(*transformer, GetParam()).Run();
  }
}

TEST_P(EnginePuritySlow, ARandomModelWithSas) {
  const std::vector<uint8_t> bytes =
      model::TinyModel{.type = model::TensorType::kQ4_0, .head_dim = 64}.Bytes();
  const model::GgufFile file(bytes, "tiny");
  const auto transformer = model::LoadTransformer(file);
  PurityCheck(*transformer, GetParam(), kv::SoftmaxKind::kSas).Run();
}

TEST_P(EnginePuritySlow, ATrainedModel) {
  const std::string path = std::string(THRONG_SHARED_DIR) + "/models/stories260K.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is missing";
  const model::GgufFile file(path);
  const auto transformer = model::LoadTransformer(file);
  if (!Allows(GetParam(), transformer->Config().head_dim))
    GTEST_SKIP() << "no such head size with this codec";
  for (const kv::SoftmaxKind softmax : {kv::SoftmaxKind::kExact, kv::SoftmaxKind::kSas}) {
    SCOPED_TRACE(attention::SoftmaxName(softmax));
    PurityCheck(*transformer, GetParam(), softmax).Run();
  }
}

class MixedPuritySlow : public ::testing::TestWithParam<const char*> {};

TEST_P(MixedPuritySlow, LayersHeadsKeysAndValuesDiffer) {
  const std::string path = std::string(THRONG_SHARED_DIR) + "/models/stories260K.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is missing";
  const model::GgufFile file(path);
  const auto transformer = model::LoadTransformer(file);
  for (const kv::SoftmaxKind softmax : {kv::SoftmaxKind::kExact, kv::SoftmaxKind::kSas}) {
    SCOPED_TRACE(attention::SoftmaxName(softmax));
    PurityCheck(*transformer, GetParam(), softmax).Run();
  }
}

INSTANTIATE_TEST_SUITE_P(Mixed, MixedPuritySlow,
                         ::testing::Values("rot3/flashq2+kivi3/rot2|flashq4/gear2+f16/int4",
                                           "kivi2:sink=64/rot3:sink=64+kvarn:sink=64/flashq2:sink=64",
                                           "f32+f16|kivi4+gear2|flashq-mixed:bits=2442+kivi2|rot4+rot2",
                                           "flashq-mixed:bits=42|f16+rot3|gear2+kivi2:g=32",
                                           "flashq-mixed:bits=42,buffer=int8|flashq2:buffer=int8+rot4"));

INSTANTIATE_TEST_SUITE_P(Codecs, EnginePuritySlow, ::testing::ValuesIn(AllCodecs()), [](const auto& info) {
  std::string name = info.param;
  std::ranges::replace_if(
      name, [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
});

}  // namespace
}  // namespace throng::engine
