// Tests with small vocabularies: each rule, and properties against slow but plain implementations.

#include "model/tokenizer/tokenizer.h"

#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/error.h"
#include "base/text/utf8.h"
#include "model/gguf/gguf.h"
#include "model/gguf/gguf_writer.h"
#include "model/tokenizer/tokenizer_encoder.h"

namespace throng::model {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;
using testing::UnorderedElementsAre;

std::array<std::string, 256> ByteSymbols() {
  std::array<std::string, 256> symbols;
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
    AppendUtf8(printable ? static_cast<char32_t>(byte) : next++, symbols[byte]);
  }
  return symbols;
}

// Byte b is token b; then one token per merge; then the rest, in the order given.
TokenizerData ByteVocab(std::vector<std::string> merges, std::vector<std::string> control = {},
                        std::vector<std::string> user_defined = {}) {
  TokenizerData data;
  data.model = "gpt2";
  data.pre = "gpt-2";
  for (const std::string& symbol : ByteSymbols()) data.tokens.push_back(symbol);
  for (const std::string& merge : merges) {
    std::string merged = merge;
    merged.erase(merged.find(' '), 1);
    if (std::find(data.tokens.begin(), data.tokens.end(), merged) == data.tokens.end())
      data.tokens.push_back(merged);
  }
  data.types.assign(data.tokens.size(), TokenType::kNormal);
  data.merges = std::move(merges);
  for (const std::string& name : control) {
    data.tokens.push_back(name);
    data.types.push_back(TokenType::kControl);
  }
  for (const std::string& name : user_defined) {
    data.tokens.push_back(name);
    data.types.push_back(TokenType::kUserDefined);
  }
  return data;
}

// 0 <unk>, 1 <s>, 2 </s>, 3 to 258 the bytes, then the tokens with their scores.
TokenizerData SpmVocab(const std::vector<std::pair<std::string, float>>& tokens) {
  TokenizerData data;
  data.model = "llama";
  data.tokens = {"<unk>", "<s>", "</s>"};
  data.types = {TokenType::kUnknown, TokenType::kControl, TokenType::kControl};
  data.unknown = 0;
  data.bos = 1;
  data.eos = 2;
  for (int byte = 0; byte < 256; ++byte) {
    data.tokens.push_back(fmt::format("<0x{:02X}>", byte));
    data.types.push_back(TokenType::kByte);
  }
  data.scores.assign(data.tokens.size(), 0.0f);
  for (const auto& [name, score] : tokens) {
    data.tokens.push_back(name);
    data.types.push_back(TokenType::kNormal);
    data.scores.push_back(score);
  }
  return data;
}

std::vector<std::string> Names(const Tokenizer& tokenizer, std::span<const int32_t> ids) {
  std::vector<std::string> names;
  for (const int32_t id : ids) names.push_back(tokenizer.TokenName(id));
  return names;
}

std::vector<std::string> EncodeNames(const Tokenizer& tokenizer, std::string_view text,
                                     EncodeOptions options = {}) {
  return Names(tokenizer, tokenizer.Encode(text, options));
}

TEST(ByteBpe, MergesTheBestRankFirstAndTheLeftmostOfEquals) {
  const Tokenizer tokenizer(ByteVocab({"b c", "a b", "a a"}));
  EXPECT_THAT(EncodeNames(tokenizer, "abc"), ElementsAre("a", "bc"));
  EXPECT_THAT(EncodeNames(tokenizer, "abab"), ElementsAre("ab", "ab"));
  EXPECT_THAT(EncodeNames(tokenizer, "aaa"), ElementsAre("aa", "a"));
}

TEST(ByteBpe, PassesThroughMergesThatAreNoTokens) {
  TokenizerData data = ByteVocab({"a b", "ab c"});
  data.tokens.erase(data.tokens.begin() + 256);  // "ab"
  data.types.pop_back();
  const Tokenizer tokenizer(std::move(data));
  EXPECT_THAT(EncodeNames(tokenizer, "abc"), ElementsAre("abc"));
  EXPECT_THAT(EncodeNames(tokenizer, "abd"), ElementsAre("a", "b", "d"));
}

TEST(ByteBpe, TakesWholeWordsFirstWhereTheModelDoes) {
  TokenizerData data = ByteVocab({"a b"});
  data.tokens.push_back("abc");  // no merges lead there
  data.types.push_back(TokenType::kNormal);
  data.pre = "llama-bpe";
  EXPECT_THAT(EncodeNames(Tokenizer(data), "abc"), ElementsAre("abc"));
  data.pre = "qwen2";
  EXPECT_THAT(EncodeNames(Tokenizer(data), "abc"), ElementsAre("ab", "c"));
}

// The definition: repeatedly merges the pair of the best rank, the leftmost of equals.
std::vector<std::string> MergeSlowly(std::string_view word, const std::vector<std::string>& merges) {
  std::vector<std::string> parts;
  for (const char c : word) parts.emplace_back(1, c);
  while (true) {
    size_t best = merges.size(), where = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto rank =
          std::find(merges.begin(), merges.end(), parts[i] + " " + parts[i + 1]) - merges.begin();
      if (static_cast<size_t>(rank) < best) {
        best = rank;
        where = i;
      }
    }
    if (best == merges.size()) return parts;
    parts[where] += parts[where + 1];
    parts.erase(parts.begin() + where + 1);
  }
}

RC_GTEST_PROP(ByteBpe, AgreesWithTheDefinition, ()) {
  std::vector<std::string> symbols = {"a", "b", "c"}, merges;
  const int num_merges = *rc::gen::inRange(0, 12);
  for (int i = 0; i < num_merges; ++i) {
    const std::string left = *rc::gen::elementOf(symbols), right = *rc::gen::elementOf(symbols);
    if (std::find(merges.begin(), merges.end(), left + " " + right) == merges.end()) {
      merges.push_back(left + " " + right);
      symbols.push_back(left + right);
    }
  }
  const std::string word = *rc::gen::container<std::string>(rc::gen::element('a', 'b', 'c'));
  RC_ASSERT(EncodeNames(Tokenizer(ByteVocab(merges)), word) == MergeSlowly(word, merges));
}

RC_GTEST_PROP(ByteBpe, DecodesEveryByteStringToItself, (const std::string& text)) {
  const Tokenizer tokenizer(ByteVocab({"a b", "\xC4\xA0 a", "\xC3\x83 \xC2\xA9"}));
  RC_ASSERT(tokenizer.Decode(tokenizer.Encode(text)) == text);
}

// One for each way to split and normalise.
const std::vector<Tokenizer>& OneOfEachFamily() {
  static const auto* const all = [] {
    auto* tokenizers = new std::vector<Tokenizer>();
    std::set<std::pair<const SplitStep*, unsigned>> seen;
    for (const PreTokenizer& pre : PreTokenizers()) {
      if (pre.Has(kSpacesAsSymbols) || !seen.emplace(pre.steps.data(), pre.traits).second) continue;
      TokenizerData data = ByteVocab({"a b"});
      data.pre = pre.name;
      tokenizers->emplace_back(std::move(data));
    }
    return tokenizers;
  }();
  return *all;
}

RC_GTEST_PROP(ByteBpe, DecodesUnicodeToWhatItIsNormalizedTo, ()) {
  std::string text;
  for (const uint32_t value :
       *rc::gen::container<std::vector<uint32_t>>(rc::gen::inRange<uint32_t>(0, 0x110000))) {
    if (value < 0xD800 || value > 0xDFFF) AppendUtf8(value, text);
  }
  for (const Tokenizer& tokenizer : OneOfEachFamily()) {
    const std::vector<int32_t> ids = tokenizer.Encode(text);
    const std::string normalized = tokenizer.Normalized(text);
    RC_ASSERT(tokenizer.Decode(ids) == normalized);
    Detokenizer stream(tokenizer);
    std::string streamed;
    for (const int32_t id : ids) streamed += stream.Push(id);
    RC_ASSERT(streamed == normalized);
  }
}

TEST(Tokenizer, NeedsLinearTimeForLongRuns) {
  TokenizerData data = ByteVocab({"a a", "aa aa", "\xC4\xA0 \xC4\xA0"});
  for (const char* pre : {"gpt-2", "llama-bpe", "qwen2"}) {
    data.pre = pre;
    const Tokenizer tokenizer(data);
    for (const char* unit : {" ", "a", "3", "\n", "!", " \t", "\xFF"}) {
      std::string text;
      while (text.size() < 200'000) text += unit;
      EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(text)), text);
    }
  }
}

TEST(Tokenizer, RefusesTextsThatAreTooLong) {
  const Tokenizer tokenizer(ByteVocab({}));
  EXPECT_THROW(tokenizer.Encode(std::string(Tokenizer::kMaxTextBytes + 1, 'a')), Error);
}

TEST(Tokenizer, TakesControlTokensForTextUnlessAsked) {
  const Tokenizer tokenizer(ByteVocab({}, {"<|a|>", "<|a|>b"}, {"<u>"}));
  EXPECT_EQ(tokenizer.Encode("<|a|>").size(), 5u);
  EXPECT_THAT(EncodeNames(tokenizer, "x<|a|>y<|a|>b", {.parse_special = true}),
              ElementsAre("x", "<|a|>", "y", "<|a|>b"));
  EXPECT_THAT(EncodeNames(tokenizer, "x<u>y"), ElementsAre("x", "<u>", "y"));
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode("x<u>y<|a|>z", {.parse_special = true})), "x<u>yz");
}

TEST(Tokenizer, FindsControlTokensInTrustedPartsOnly) {
  const Tokenizer tokenizer(ByteVocab({"x y"}, {"<|a|>"}));
  const std::vector<TextPart> parts = {
      {"<|a|>x", true}, {"y<|a|>", false}, {"<|", true}, {"a|><|a|>", false}, {"<|a|>", true}};
  std::vector<std::string> names = Names(tokenizer, tokenizer.Encode(parts, false));
  EXPECT_EQ(names.front(), "<|a|>");
  EXPECT_EQ(names[1], "xy");  // one word across the border
  EXPECT_EQ(names.back(), "<|a|>");
  EXPECT_EQ(std::count(names.begin(), names.end(), "<|a|>"), 2);
}

TEST(Tokenizer, BosIsAsked) {
  TokenizerData data = ByteVocab({}, {"<bos>"});
  EXPECT_EQ(Tokenizer(data).Encode("", {.add_bos = true}).size(), 0u);
  data.bos = 256;
  data.pre = "llama-bpe";
  EXPECT_TRUE(Tokenizer(data).AddsBos());
  EXPECT_THAT(Tokenizer(data).Encode("", {.add_bos = true}), ElementsAre(256));
  data.pre = "qwen2";
  EXPECT_FALSE(Tokenizer(data).AddsBos());
  data.add_bos = 1;
  EXPECT_TRUE(Tokenizer(data).AddsBos());
}

TEST(Tokenizer, KnowsWhatEndsAnAnswer) {
  TokenizerData data = ByteVocab({}, {"<|endoftext|>", "<|im_end|>", "<|other|>"}, {"<|end|>"});
  data.eos = 256;
  const Tokenizer tokenizer(std::move(data));
  EXPECT_THAT(tokenizer.EndOfGeneration(), ElementsAre(256, 257, 259));
  EXPECT_TRUE(tokenizer.IsEndOfGeneration(257));
  EXPECT_FALSE(tokenizer.IsEndOfGeneration(258));
  EXPECT_EQ(tokenizer.Eot(), 257);
  EXPECT_EQ(tokenizer.TokenBytes(259), "");
}

TEST(Tokenizer, EndsMessagesWithinAnAnswerWithoutEndingIt) {
  const Tokenizer harmony(ByteVocab({}, {"<|end|>", "<|return|>", "<|call|>"}));
  EXPECT_THAT(harmony.EndOfGeneration(), ElementsAre(257, 258));
  EXPECT_EQ(harmony.Eot(), -1);
  EXPECT_EQ(harmony.TokenBytes(256), "");
}

TEST(Tokenizer, TakesFurtherEndsFromKeysAndNames) {
  TokenizerData data = ByteVocab({}, {"<a>", "</s>"}, {"<|file_sep|>", "</b>"});
  data.more_ends = {256};
  EXPECT_THAT(Tokenizer(data).EndOfGeneration(), ElementsAre(256, 257, 258));
  data.types[257] = TokenType::kUserDefined;  // a tag of HTML, as in gemma's vocabulary
  EXPECT_THAT(Tokenizer(data).EndOfGeneration(), ElementsAre(256, 258));
  data.more_ends = {260};
  EXPECT_THROW(Tokenizer{data}, Error);
}

TEST(Tokenizer, MendsTheTypesOfControlTokens) {
  TokenizerData data = ByteVocab({}, {"<|eot_id|>"}, {"<|im_start|>"});
  data.tokens.push_back("<|im_end|>");
  data.types.push_back(TokenType::kUnused);
  const Tokenizer tokenizer(std::move(data));
  EXPECT_THAT(tokenizer.MendedTypes(),
              UnorderedElementsAre("<|im_start|> (user-defined)", "<|im_end|> (unused)"));
  for (const char* name : {"<|im_start|>", "<|im_end|>"}) {
    EXPECT_GT(tokenizer.Encode(name).size(), 1u) << name;
    EXPECT_EQ(tokenizer.Encode(name, {.parse_special = true}).size(), 1u) << name;
  }
  EXPECT_TRUE(tokenizer.IsEndOfGeneration(258));
}

TEST(Tokenizer, EosIsAsked) {
  TokenizerData data = ByteVocab({}, {"<eos>"});
  data.eos = 256;
  EXPECT_FALSE(Tokenizer(data).AddsEos());
  EXPECT_THAT(Tokenizer(data).Encode("a", {.add_eos = true}), ElementsAre('a', 256));
  data.add_eos = true;
  EXPECT_TRUE(Tokenizer(data).AddsEos());
  EXPECT_THAT(Tokenizer(data).EncodePrompt("a"), ElementsAre('a'));
}

TEST(Tokenizer, ComposesTextWhereTheModelDoes) {
  TokenizerData data = ByteVocab({}, {}, {"e\u0301<"});
  data.pre = "qwen2";
  const Tokenizer qwen(data);
  EXPECT_EQ(qwen.Normalized("cafe\u0301 \u1112\u1161\u11AB \u212B"), "caf\u00E9 \uD55C \u00C5");
  EXPECT_EQ(qwen.Encode("e\u0301"), qwen.Encode("\u00E9"));
  EXPECT_EQ(qwen.Decode(qwen.Encode("\xFF"
                                    "e\u0301\xE2")),
            "\xFF\u00E9\xE2");
  // A token that is found in the text is found before.
  EXPECT_EQ(qwen.Normalized("e\u0301e\u0301<"), "\u00E9e\u0301<");
  data.pre = "llama-bpe";
  EXPECT_EQ(Tokenizer(data).Normalized("e\u0301"), "e\u0301");
}

// 0 to 255 the bytes, then the tokens, with a merge for each of two characters.
TokenizerData CharacterVocab(const std::vector<std::string>& tokens, std::vector<std::string> merges) {
  TokenizerData data;
  data.model = "gemma4";
  for (int byte = 0; byte < 256; ++byte) {
    data.tokens.push_back(fmt::format("<0x{:02X}>", byte));
    data.types.push_back(TokenType::kByte);
  }
  for (const std::string& token : tokens) {
    data.tokens.push_back(token);
    data.types.push_back(TokenType::kNormal);
  }
  data.merges = std::move(merges);
  return data;
}

TEST(CharacterBpe, MergesCharactersAndFallsBackToBytes) {
  const Tokenizer tokenizer(CharacterVocab({"a", "\u00E9", "\u2581", "\u2581a", "a\u00E9", "\u2581a\u00E9"},
                                           {"\u2581 a", "a \u00E9", "\u2581a \u00E9"}));
  EXPECT_THAT(EncodeNames(tokenizer, " a\u00E9a\u00E9"), ElementsAre("\u2581a\u00E9", "a\u00E9"));
  EXPECT_THAT(EncodeNames(tokenizer, "\u00E8a"), ElementsAre("<0xC3>", "<0xA8>", "a"));
  EXPECT_EQ(tokenizer.Encode("\u2581a"), tokenizer.Encode(" a"));
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(" a\u00E8\xFF")), " a\u00E8\xFF");
}

TEST(CharacterBpe, MergesAcrossWordsWhereAMergeDoes) {
  const std::vector<std::string> tokens = {"a", "\u2581", "a\u2581", "\u2581a", "a\u2581a"};
  EXPECT_THAT(EncodeNames(Tokenizer(CharacterVocab(tokens, {"\u2581 a", "a \u2581a"})), "a a"),
              ElementsAre("a\u2581a"));
  EXPECT_THAT(EncodeNames(Tokenizer(CharacterVocab(tokens, {"\u2581 a"})), "a a"),
              ElementsAre("a", "\u2581a"));
}

TEST(CharacterBpe, TakesRunsOfLineBreaksLongestFirst) {
  const Tokenizer tokenizer(CharacterVocab({"\n", "\n\n", "\n\n\n", "a"}, {}));
  EXPECT_THAT(EncodeNames(tokenizer, "\n\n\n\n\na\n"), ElementsAre("\n\n\n", "\n\n", "a", "\n"));
}

TEST(SentencePiece, PutsASpaceAfterEachUserDefinedToken) {
  TokenizerData data = SpmVocab({{"a", 0}, {"\u2581", 0}});
  data.tokens.push_back("<u>");
  data.types.push_back(TokenType::kUserDefined);
  data.scores.push_back(0);
  const Tokenizer tokenizer(std::move(data));
  for (const char* text : {"a<u>a", "<u>a", "<u><u>", "a<u>"}) {
    EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(text)), tokenizer.Normalized(text));
  }
  EXPECT_EQ(tokenizer.Normalized("a<u>a"), "a<u> a");
}

TEST(SentencePiece, SqueezesSpacesWhereTheFileSaysSo) {
  TokenizerData data = SpmVocab({{"a", 0}, {"\u2581", 0}, {"\u2581a", -1}});
  data.squeeze_spaces = true;
  const Tokenizer tokenizer(std::move(data));
  EXPECT_EQ(tokenizer.Encode("  a   a "), tokenizer.Encode("a a"));
  EXPECT_EQ(tokenizer.Encode("  ").size(), 0u);
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode("  a   a ")), "a a");
}

TEST(SentencePiece, MergesTheBestScoreFirstAndTheLeftmostOfEquals) {
  const Tokenizer tokenizer(
      SpmVocab({{"a", 0}, {"b", 0}, {"\u2581", 0}, {"ab", -2}, {"\u2581a", -1}, {"aa", -3}, {"bb", -2}}));
  EXPECT_THAT(EncodeNames(tokenizer, "ab"), ElementsAre("\u2581a", "b"));
  EXPECT_THAT(EncodeNames(tokenizer, "bab"), ElementsAre("\u2581", "b", "ab"));
  EXPECT_THAT(EncodeNames(tokenizer, "babb"), ElementsAre("\u2581", "b", "ab", "b"));
}

TEST(SentencePiece, PutsASpaceInFrontAndTakesItAway) {
  TokenizerData data = SpmVocab({{"a", 0}, {"\u2581", 0}, {"\u2581a", -1}});
  const Tokenizer tokenizer(data);
  EXPECT_THAT(EncodeNames(tokenizer, "a a"), ElementsAre("\u2581a", "\u2581a"));
  EXPECT_THAT(EncodeNames(tokenizer, "a<s>a", {.add_bos = true, .parse_special = true}),
              ElementsAre("<s>", "\u2581a", "<s>", "\u2581a"));
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(" a ")), " a ");
  EXPECT_EQ(tokenizer.Encode("").size(), 0u);
  data.add_space_prefix = false;
  EXPECT_THAT(EncodeNames(Tokenizer(data), "a a"), ElementsAre("a", "\u2581a"));
}

TEST(SentencePiece, FallsBackToBytesThenToUnknown) {
  TokenizerData data = SpmVocab({{"\u2581", 0}});
  EXPECT_THAT(EncodeNames(Tokenizer(data), "\u00E9\xFF"),
              ElementsAre("\u2581", "<0xC3>", "<0xA9>", "<0xFF>"));
  for (int id = 3; id < 259; ++id) data.types[id] = TokenType::kUnused;
  EXPECT_THAT(EncodeNames(Tokenizer(data), "\u00E9!"), ElementsAre("\u2581", "<unk>", "<unk>"));
  data.unknown = -1;
  EXPECT_THROW(Tokenizer{data}, Error);
}

TEST(SentencePiece, NeverMakesControlTokensOfText) {
  const Tokenizer tokenizer(SpmVocab({{"<", 0}, {"s>", 0}, {"s", 0}, {">", 0}, {"\u2581", 0}}));
  EXPECT_THAT(EncodeNames(tokenizer, "<s>"), ElementsAre("\u2581", "<", "s>"));
}

using Scores = std::map<std::string, float>;

// The definition: repeatedly merges the neighbours whose token has the best score, the leftmost of equals.
std::vector<std::string> MergeSlowly(std::vector<std::string> parts, const Scores& scores) {
  while (true) {
    auto best = scores.end();
    size_t where = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = scores.find(parts[i] + parts[i + 1]);
      if (found == scores.end() || (best != scores.end() && found->second <= best->second)) continue;
      best = found;
      where = i;
    }
    if (best == scores.end()) return parts;
    parts[where] += parts[where + 1];
    parts.erase(parts.begin() + where + 1);
  }
}

// Also checks that words may be merged one by one: some of these vocabularies have tokens that reach across
// words.
RC_GTEST_PROP(SentencePiece, AgreesWithTheDefinition, ()) {
  const auto strings = [](int max_length) {
    return rc::gen::mapcat(rc::gen::inRange(0, max_length), [](int length) {
      return rc::gen::container<std::vector<std::string>>(length,
                                                          rc::gen::element<std::string>("a", "b", "\u2581"));
    });
  };
  Scores scores = {{"a", 0}, {"b", 0}, {"\u2581", 0}};
  const int num_tokens = *rc::gen::inRange(0, 12);
  for (int i = 0; i < num_tokens; ++i) {
    const std::string name = fmt::format("{}", fmt::join(*strings(4), ""));
    if (!name.empty()) scores.emplace(name, static_cast<float>(*rc::gen::inRange(-4, 0)));
  }
  std::vector<std::string> parts = *strings(30);
  std::string text;
  for (const std::string& part : parts) text += part == "\u2581" ? " " : part;
  if (!parts.empty()) parts.insert(parts.begin(), "\u2581");
  const Tokenizer tokenizer(SpmVocab({scores.begin(), scores.end()}));
  RC_ASSERT(EncodeNames(tokenizer, text) == MergeSlowly(parts, scores));
  RC_ASSERT(tokenizer.Decode(tokenizer.Encode(text)) == text);
}

TEST(SentencePiece, StripsWhiteSpaceAfterControlTokensWhereTheModelDoes) {
  TokenizerData data = SpmVocab({{"a", 0}, {"\u2581", 0}});
  data.tokens.push_back("<|user|>");
  data.types.push_back(TokenType::kControl);
  data.scores.push_back(0);
  data.strip_right_of_control = true;
  const Tokenizer tokenizer(std::move(data));
  EXPECT_THAT(EncodeNames(tokenizer, "<|user|>\n a<s> a", {.parse_special = true}),
              ElementsAre("<|user|>", "\u2581", "a", "<s>", "\u2581", "\u2581", "a"));
}

TEST(Detokenizer, HoldsBackIncompleteCharacters) {
  const Tokenizer tokenizer(ByteVocab({}));
  Detokenizer stream(tokenizer);
  EXPECT_EQ(stream.Push(0xF0), "");
  EXPECT_EQ(stream.Push(0x9F), "");
  EXPECT_EQ(stream.Push(0x98), "");
  EXPECT_EQ(stream.Push(0x80), "\U0001F600");
  EXPECT_EQ(stream.Push('a'), "a");
  EXPECT_EQ(stream.Push(0xE2), "");
  EXPECT_EQ(stream.Push('b'), "\uFFFDb");
  EXPECT_EQ(stream.Push(0xFF), "\uFFFD");
  EXPECT_EQ(stream.Push(0xC3), "");
  EXPECT_EQ(stream.Flush(), "\uFFFD");
  EXPECT_EQ(stream.Flush(), "");
  EXPECT_THROW(stream.Push(256), Error);
}

TEST(Detokenizer, LeavesTheSpaceOutAtTheStartOfATextOnly) {
  const Tokenizer tokenizer(SpmVocab({{"a", 0}, {"\u2581", 0}, {"\u2581a", -1}}));
  Detokenizer start(tokenizer, true), middle(tokenizer);
  EXPECT_EQ(start.Push(1), "");
  EXPECT_EQ(start.Push(261), "a");
  EXPECT_EQ(start.Push(261), " a");
  EXPECT_EQ(middle.Push(261), " a");
}

RC_GTEST_PROP(Detokenizer, GivesValidUtf8OfAnyTokens, (const std::string& bytes)) {
  const Tokenizer tokenizer(ByteVocab({}));
  Detokenizer stream(tokenizer);
  std::string streamed;
  for (const char c : bytes) {
    streamed += stream.Push(static_cast<uint8_t>(c));
    RC_ASSERT(ValidUtf8Prefix(streamed) == streamed.size());
  }
  RC_ASSERT(streamed + stream.Flush() == ReplaceInvalidUtf8(bytes));
}

TEST(Tokenizer, RefusesVocabulariesThatContradictThemselves) {
  const auto refuses = [](auto change, const std::string& part, bool spm = false) {
    TokenizerData data = spm ? SpmVocab({{"a", 0}}) : ByteVocab({"a b"});
    change(data);
    EXPECT_THAT([&] { Tokenizer{data}; }, ThrowsMessage<Error>(HasSubstr(part)));
  };
  refuses([](TokenizerData& d) { d.model = "bert"; }, "known are llama, gpt2, gemma4");
  refuses([](TokenizerData& d) { d.pre = "x"; }, "tokenizer.ggml.pre");
  refuses([](TokenizerData& d) { d.tokens.clear(), d.types.clear(); }, "0 elements");
  refuses([](TokenizerData& d) { d.types.pop_back(); }, "token_type");
  refuses([](TokenizerData& d) { d.bos = 257; }, "bos_token_id");
  refuses([](TokenizerData& d) { d.eos = -2; }, "eos_token_id");
  refuses([](TokenizerData& d) { d.tokens[65] = "x"; }, "0x41");
  refuses([](TokenizerData& d) { d.merges.push_back("ab"); }, "merges[1]");
  refuses([](TokenizerData& d) { d.scores.pop_back(); }, "scores", true);
  refuses([](TokenizerData& d) { d.tokens[3] = "<0xZZ>"; }, "tokens[3]", true);
  const Tokenizer tokenizer(ByteVocab({}));
  EXPECT_THROW(tokenizer.Decode(std::vector<int32_t>{256}), Error);
  EXPECT_THROW(tokenizer.Decode(std::vector<int32_t>{-1}), Error);
}

TEST(Tokenizer, ComesFromAGgufFile) {
  const TokenizerData data = ByteVocab({"a b"}, {"<eos>"});
  const auto write = [&](const char* pre) {
    GgufWriter writer;
    writer.Add("tokenizer.ggml.model", data.model);
    writer.Add("tokenizer.ggml.pre", pre);
    writer.Add("tokenizer.ggml.tokens", data.tokens);
    std::vector<int32_t> types(data.tokens.size(), 1);
    types.back() = 3;
    writer.Add("tokenizer.ggml.token_type", types);
    writer.Add("tokenizer.ggml.merges", data.merges);
    writer.Add("tokenizer.ggml.eos_token_id", 257u);
    return writer.Finish();
  };
  const std::vector<uint8_t> good = write("gpt-2"), bad = write("other");
  const GgufFile file(good, "good.gguf"), bad_file(bad, "bad.gguf");
  const Tokenizer tokenizer(file);
  EXPECT_THAT(EncodeNames(tokenizer, "ab<eos>", {.parse_special = true}), ElementsAre("ab", "<eos>"));
  EXPECT_EQ(tokenizer.Eos(), 257);
  EXPECT_EQ(tokenizer.Bos(), -1);
  EXPECT_THAT([&] { Tokenizer{bad_file}; },
              ThrowsMessage<Error>(testing::StartsWith("bad.gguf: tokenizer.ggml.pre")));
}

TEST(Tokenizer, ReadsFlagsAndEndsAndKnowsSentencePiecesIds) {
  const TokenizerData data = SpmVocab({{"a", 0}});
  GgufWriter writer;
  writer.Add("tokenizer.ggml.model", "llama");
  writer.Add("tokenizer.ggml.tokens", data.tokens);
  std::vector<int32_t> types;
  for (const TokenType type : data.types) types.push_back(static_cast<int32_t>(type));
  writer.Add("tokenizer.ggml.token_type", types);
  writer.Add("tokenizer.ggml.scores", data.scores);
  writer.Add("tokenizer.ggml.eom_token_id", 5u);
  writer.Add("tokenizer.ggml.fim_pad_token_id", 6u);
  writer.Add("tokenizer.ggml.add_eos_token", true);
  writer.Add("tokenizer.ggml.remove_extra_whitespaces", true);
  const std::vector<uint8_t> bytes = writer.Finish();
  const TokenizerData read = ReadTokenizerData(GgufFile(bytes, "spm.gguf"));
  EXPECT_EQ(read.unknown, 0);
  EXPECT_EQ(read.bos, 1);
  EXPECT_EQ(read.eos, 2);
  EXPECT_THAT(read.more_ends, ElementsAre(5, 6));
  EXPECT_TRUE(read.add_eos);
  EXPECT_TRUE(read.squeeze_spaces);
}

}  // namespace
}  // namespace throng::model
