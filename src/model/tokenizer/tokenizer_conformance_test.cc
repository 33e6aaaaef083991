// All texts of the conformance vocabularies give the reference's tokens.

#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "base/mapped_file.h"
#include "model/gguf/gguf.h"
#include "model/tokenizer/tokenizer.h"

namespace throng::model {
namespace {

// Follows every text; the line break before it is not part of the text.
constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";

std::vector<std::string> ReadTexts(const std::string& path) {
  const std::string all = ReadFile(path);
  std::vector<std::string> texts;
  size_t pos = 0;
  for (size_t end; (end = all.find(kSeparator, pos)) != std::string::npos; pos = end + kSeparator.size()) {
    texts.push_back(all.substr(pos, end - pos));
  }
  return texts;
}

std::vector<std::vector<int32_t>> ReadIds(const std::string& path) {
  std::istringstream file(ReadFile(path));
  std::vector<std::vector<int32_t>> all;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::vector<int32_t> ids;
    for (int32_t id; words >> id;) ids.push_back(id);
    all.push_back(ids);
  }
  return all;
}

class Conformance : public testing::TestWithParam<const char*> {};

TEST_P(Conformance, EveryTextGivesTheReferencesTokens) {
  const std::string path = std::string(THRONG_SHARED_DIR "/tokenizers/ggml-vocab-") + GetParam() + ".gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is missing";
  const GgufFile file(path);
  const Tokenizer tokenizer(file);
  const std::vector<std::string> texts = ReadTexts(path + ".inp");
  const std::vector<std::vector<int32_t>> ids = ReadIds(path + ".out");
  ASSERT_EQ(texts.size(), ids.size());
  ASSERT_GT(texts.size(), 40u);
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(tokenizer.Encode(texts[i]), ids[i]) << "text " << i << ": \"" << texts[i] << '"';
    EXPECT_EQ(tokenizer.Decode(ids[i]), texts[i]) << "text " << i;
    Detokenizer stream(tokenizer, true);
    std::string streamed;
    for (const int32_t id : ids[i]) streamed += stream.Push(id);
    EXPECT_EQ(streamed + stream.Flush(), texts[i]) << "text " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Conformance,
                         testing::Values("llama-spm", "llama-bpe", "qwen2", "gpt-2", "phi-3"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace throng::model
