// Principle 2 of the design: a logit is a function of the tokens, the model, the codec and the softmax, and
// of nothing else.

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>

#include "engine/testing/purity_check.h"
#include "model/gguf/gguf.h"
#include "model/testing/tiny_model.h"

namespace throng::engine {
namespace {

class EnginePurity : public ::testing::TestWithParam<const char*> {};

TEST_P(EnginePurity, LogitsDependOnTokensModelAndCodecAlone) {
  const std::vector<uint8_t> bytes = model::TinyModel{.type = model::TensorType::kQ8_0}.Bytes();
  const model::GgufFile file(bytes, "tiny");
  const auto transformer = model::LoadTransformer(file);
  PurityCheck(*transformer, GetParam()).Run();
}

class EnginePurityOfBiasedKeys : public ::testing::TestWithParam<const char*> {};

TEST_P(EnginePurityOfBiasedKeys, LogitsDependOnTokensModelAndCodecAlone) {
  const std::vector<uint8_t> bytes = model::TinyModel{
      .architecture = "qwen2",
      .type = model::TensorType::kQ8_0,
      .key_bias = 300.0f,
      .bias_pairs = {1, 6}}.Bytes();
  const model::GgufFile file(bytes, "tiny");
  const auto transformer = model::LoadTransformer(file);
  PurityCheck(*transformer, GetParam()).Run();
}

class EnginePurityOfSas : public ::testing::TestWithParam<const char*> {};

TEST_P(EnginePurityOfSas, LogitsDependOnTokensModelAndCodecAlone) {
  const std::vector<uint8_t> bytes = model::TinyModel{.type = model::TensorType::kQ8_0}.Bytes();
  const model::GgufFile file(bytes, "tiny");
  const auto transformer = model::LoadTransformer(file);
  PurityCheck(*transformer, GetParam(), kv::SoftmaxKind::kSas).Run();
}

// Every layer, head and part is encoded differently.
TEST(EnginePurityOfMixedCodecs, LogitsDependOnTokensModelAndCodecsAlone) {
  const std::vector<uint8_t> bytes =
      model::TinyModel{.type = model::TensorType::kQ8_0, .head_dim = 64}.Bytes();
  const model::GgufFile file(bytes, "tiny");
  const auto transformer = model::LoadTransformer(file);
  PurityCheck(*transformer, "gear4+flashq-mixed:bits=24|int8+rot2").Run();
}

std::string NameOf(const testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Codecs, EnginePurity,
                         ::testing::Values("f32", "f16", "int8", "flashq4:buffer=int8",
                                           "kivi2:sink=64,recent=64", "rot3:recent=128"),
                         NameOf);
INSTANTIATE_TEST_SUITE_P(Codecs, EnginePurityOfBiasedKeys,
                         ::testing::Values("f16", "f16:bias=off", "flashq4:buffer=int8", "kivi4:recent=64"),
                         NameOf);
INSTANTIATE_TEST_SUITE_P(Codecs, EnginePurityOfSas,
                         ::testing::Values("f16", "flashq4:buffer=int8", "flashq4:sink=64,recent=64"),
                         NameOf);

}  // namespace
}  // namespace throng::engine
