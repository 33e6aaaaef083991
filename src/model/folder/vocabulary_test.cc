#include "model/folder/vocabulary.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "model/chat_template.h"
#include "model/gguf/gguf.h"
#include "model/gguf/gguf_writer.h"
#include "model/tokenizer/tokenizer.h"

namespace throng::model {
namespace {

using Json = nlohmann::json;

const char* const kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

Json ByteLevel(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", use_regex}};
}

Json Split(const char* pattern) {
  const Json split = {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}};
  return {{"type", "Sequence"}, {"pretokenizers", {split, ByteLevel(false)}}};
}

// The stand-in for each byte, as GPT-2 has them: bytes that can be seen are themselves, the others follow
// U+00FF.
std::string Symbol(int byte) {
  static int unseen = 0;
  const bool seen = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
  const int c = seen ? byte : 256 + unseen++;
  if (c < 128) return std::string(1, static_cast<char>(c));
  return {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 63))};
}

// A token for each byte, with its number as the id. "ab" merges before "bc".
Json ByteTokenizer() {
  static const Json vocab = [] {
    Json all = {{"ab", 256}, {"bc", 257}};
    for (int byte = 0; byte < 256; ++byte) all[Symbol(byte)] = byte;
    return all;
  }();
  return {{"model",
           {{"type", "BPE"}, {"vocab", vocab}, {"merges", {{"a", "b"}, "b c"}}, {"ignore_merges", true}}},
          {"pre_tokenizer", Split(kLlama3)},
          {"added_tokens",
           {{{"id", 258}, {"content", "<|begin|>"}, {"special", true}},
            {{"id", 259}, {"content", "<|stop|>"}, {"special", true}},
            {{"id", 260}, {"content", "<tool>"}, {"special", false}}}},
          {"post_processor",
           {{"type", "Sequence"},
            {"processors",
             {ByteLevel(true),
              {{"type", "TemplateProcessing"},
               {"single", {{{"SpecialToken", {{"id", "<|begin|>"}}}}, {{"Sequence", {{"id", "A"}}}}}}}}}}}};
}

Json CharacterTokenizer(Json normalizer) {
  const Json vocab = {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}, {"<0x41>", 3}, {"\u2581", 4},  {"a", 5},
                      {"b", 6},     {"c", 7},   {"ab", 8},   {"bc", 9},     {"\u2581a", 10}};
  return {{"model",
           {{"type", "BPE"},
            {"vocab", vocab},
            {"merges", {"b c", "a b", "\u2581 a"}},
            {"byte_fallback", true},
            {"unk_token", "<unk>"}}},
          {"normalizer", std::move(normalizer)},
          {"added_tokens", {{{"id", 1}, {"content", "<s>"}, {"special", true}}}}};
}

const Json kReplace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}};

// As if they were read: numbers that are written here have another kind.
std::vector<uint8_t> Write(VocabularyFiles files, uint32_t size = 0) {
  files.generation_config = Json::parse(files.generation_config.dump());
  GgufWriter writer;
  writer.Add("general.architecture", "llama");
  WriteVocabulary(files, size, writer);
  return writer.Finish();
}

std::string Refusal(const Json& tokenizer) {
  try {
    Write({.folder = "f", .tokenizer = tokenizer.dump()});
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Vocabulary, OfBytes) {
  const std::vector<uint8_t> bytes = Write(
      {.folder = "f",
       .tokenizer = ByteTokenizer().dump(),
       .tokenizer_config = {{"eos_token", {{"content", "<|stop|>"}}}, {"chat_template", "{{ messages }}"}},
       .generation_config = {{"eos_token_id", {259, 258}}}},
      263);
  const GgufFile file(bytes, "f");
  EXPECT_EQ(file.String("tokenizer.ggml.pre"), "llama-bpe");
  EXPECT_EQ(file.String("tokenizer.chat_template"), "{{ messages }}");
  const Tokenizer tokenizer(file);
  EXPECT_EQ(tokenizer.VocabSize(), 263);
  EXPECT_EQ(tokenizer.TokenName(262), "[PAD262]");
  EXPECT_EQ(tokenizer.Bos(), 258);
  EXPECT_TRUE(tokenizer.AddsBos());
  EXPECT_FALSE(tokenizer.AddsEos());
  EXPECT_EQ(tokenizer.Eos(), 259);
  EXPECT_EQ(tokenizer.EndOfGeneration(), (std::vector<int32_t>{258, 259}));
  EXPECT_EQ(tokenizer.Encode("abc cb<tool>"), (std::vector<int32_t>{256, 99, 32, 99, 98, 260}));
}

TEST(Vocabulary, OfCharactersWithASpaceInFront) {
  const Json normalizer = {{"type", "Sequence"},
                           {"normalizers", {{{"type", "Prepend"}, {"prepend", "\u2581"}}, kReplace}}};
  const std::vector<uint8_t> bytes =
      Write({.folder = "f",
             .tokenizer = CharacterTokenizer(normalizer).dump(),
             .tokenizer_config = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"add_bos_token", true}}});
  const GgufFile file(bytes, "f");
  EXPECT_EQ(file.String("tokenizer.ggml.model"), "llama");
  const Tokenizer tokenizer(file);
  EXPECT_TRUE(tokenizer.AddsBos());
  EXPECT_EQ(tokenizer.Encode("abc"), (std::vector<int32_t>{10, 9}));
  EXPECT_EQ(tokenizer.Encode("bA"), (std::vector<int32_t>{4, 6, 3}));
}

TEST(Vocabulary, OfCharactersWithoutASpaceInFront) {
  const std::vector<uint8_t> bytes = Write({.folder = "f", .tokenizer = CharacterTokenizer(kReplace).dump()});
  const GgufFile file(bytes, "f");
  EXPECT_EQ(file.String("tokenizer.ggml.model"), "gemma4");
  EXPECT_EQ(Tokenizer(file).Encode("abc a"), (std::vector<int32_t>{5, 9, 10}));
}

TEST(Vocabulary, TemplatesComeFromAFileOfTheirOwnFirst) {
  const Json list = {{{"name", "default"}, {"template", "one"}}, {{"name", "tool_use"}, {"template", "two"}}};
  VocabularyFiles files{
      .folder = "f", .tokenizer = ByteTokenizer().dump(), .tokenizer_config = {{"chat_template", list}}};
  const std::vector<uint8_t> two = Write(files);
  EXPECT_EQ(GgufFile(two, "f").String("tokenizer.chat_template"), "one");
  EXPECT_EQ(GgufFile(two, "f").String("tokenizer.chat_template.tool_use"), "two");
  files.chat_template = "three";
  const std::vector<uint8_t> three = Write(files);
  EXPECT_EQ(GgufFile(three, "f").String("tokenizer.chat_template"), "three");
}

// As people and programs write the same file.
TEST(Vocabulary, ReadsTheTextHoweverItIsWritten) {
  const Json tokenizer = ByteTokenizer();
  const std::vector<uint8_t> plain = Write({.folder = "f", .tokenizer = tokenizer.dump()});
  EXPECT_EQ(Write({.folder = "f", .tokenizer = tokenizer.dump(1, '\t')}), plain);
  EXPECT_EQ(Write({.folder = "f", .tokenizer = tokenizer.dump(-1, ' ', /*ensure_ascii=*/true)}), plain);
  Json pairs = tokenizer;
  for (Json& merge : pairs["model"]["merges"]) {
    if (merge.is_array()) continue;
    const std::string text = merge;
    merge = {text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1)};
  }
  EXPECT_EQ(Write({.folder = "f", .tokenizer = pairs.dump(2)}), plain);
}

TEST(Vocabulary, RefusesWhatIsNotJson) {
  const std::string whole = ByteTokenizer().dump();
  const auto refusal = [](const std::string& text) -> std::string {
    try {
      Write({.folder = "f", .tokenizer = text});
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  for (size_t length = 0; length < whole.size(); length += 7)
    EXPECT_NE(refusal(whole.substr(0, length)).find("f/tokenizer.json: is no"), std::string::npos) << length;
  const auto with = [](const std::string& model) { return R"({"model":{"type":"BPE",)" + model + "}}"; };
  EXPECT_NE(refusal(with(R"("vocab":{"a":1,"a":2},"merges":[])")).find("the key 'a' occurs twice"),
            std::string::npos);
  EXPECT_NE(refusal(with(R"("vocab":{"a":1},"vocab":{},"merges":[])")).find("the key 'vocab' occurs twice"),
            std::string::npos);
  for (const char* id : {"-1", "01", "1.5", "\"1\"", "null", "[1]", "4294967297"})
    EXPECT_NE(refusal(with(fmt::format(R"("vocab":{{"a":{}}},"merges":[])", id))).find("a token has the id"),
              std::string::npos)
        << id;
  for (const char* merge : {"1", "[\"a\"]", "[\"a\",1]", "[\"a\",\"b\",\"c\"]", "{}"})
    EXPECT_NE(refusal(with(fmt::format(R"("vocab":{{"a":1}},"merges":[{}])", merge))).find("a merge is"),
              std::string::npos)
        << merge;
  for (const char* text : {"\"\xff\"", "\"\\x\"", "\"\\ud800\"", "\"\n\""})
    EXPECT_NE(refusal(with(fmt::format(R"("vocab":{{{}:1}},"merges":[])", text))).find("is not JSON"),
              std::string::npos)
        << text;
}

TEST(Vocabulary, RecognisesSplitsWithTheirTraits) {
  Json tokenizer = ByteTokenizer();
  const auto recognise = [&] { return RecognisePreTokenizer(JsonObject("f", tokenizer)); };
  tokenizer["model"]["ignore_merges"] = false;
  EXPECT_EQ(recognise(), "dbrx");
  tokenizer["pre_tokenizer"] = ByteLevel(true);
  EXPECT_EQ(recognise(), "gpt-2");
  tokenizer["normalizer"] = {{"type", "NFC"}};
  EXPECT_EQ(recognise(), "olmo");
  tokenizer["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers", {{{"type", "Digits"}, {"individual_digits", true}}, ByteLevel(true)}}};
  EXPECT_EQ(recognise(), "command-r");
  tokenizer.erase("normalizer");
  Json steps = Json::array();
  // With line breaks themselves, as DeepSeek V3's file has them.
  for (const char* step :
       {"\\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
        " ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"}) {
    steps.push_back({{"type", "Split"}, {"pattern", {{"Regex", step}}}, {"behavior", "Isolated"}});
  }
  steps.push_back(ByteLevel(false));
  tokenizer["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}};
  EXPECT_EQ(recognise(), "deepseek-v3");
  tokenizer["pre_tokenizer"] = Split("odd");
  EXPECT_THROW(recognise(), Error);
  tokenizer["pre_tokenizer"] = {{"type", 3}};
  EXPECT_THROW(recognise(), Error);
}

TEST(Vocabulary, RefusesInOneSentence) {
  Json tokenizer = ByteTokenizer();
  tokenizer["model"]["type"] = "Unigram";
  EXPECT_EQ(Refusal(tokenizer), "f/tokenizer.json: is no vocabulary of type BPE, the only one that is known");
  tokenizer = ByteTokenizer();
  tokenizer["model"]["vocab"]["xx"] = 1u << 30;
  EXPECT_NE(Refusal(tokenizer).find("a token has the id '1073741824'"), std::string::npos);
  tokenizer["model"]["vocab"]["xx"] = 0;
  EXPECT_NE(Refusal(tokenizer).find("two tokens have the id '0'"), std::string::npos);
  tokenizer = ByteTokenizer();
  tokenizer["model"]["merges"][0] = {"a ", "b"};
  EXPECT_NE(Refusal(tokenizer).find("has a space within a token"), std::string::npos);
  tokenizer["model"]["merges"] = 3;
  EXPECT_NE(Refusal(tokenizer).find("lacks the list model.merges"), std::string::npos);
  tokenizer = ByteTokenizer();
  tokenizer["added_tokens"] = {7};
  EXPECT_NE(Refusal(tokenizer).find("an added token is '7'"), std::string::npos);
  EXPECT_NE(Refusal(CharacterTokenizer({{"type", "NFKC"}})).find("normalizer is"), std::string::npos);
  try {
    Write({.folder = "f", .tokenizer = ByteTokenizer().dump(), .generation_config = {{"eos_token_id", 999}}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "f/generation_config.json: eos_token_id is '999'; ids below 261 are expected");
  }
}

}  // namespace
}  // namespace throng::model
