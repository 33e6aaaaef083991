// Small vocabularies of all kinds, for the fuzzers and their seeds.
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "base/text/utf8.h"
#include "model/tokenizer/tokenizer.h"

namespace throng::fuzz {

inline void AddToken(model::TokenizerData& data, std::string name, model::TokenType type, float score = 0) {
  data.tokens.push_back(std::move(name));
  data.types.push_back(type);
  data.scores.push_back(score);
}

// 256 bytes, a few merges, and tokens of the other types.
inline model::TokenizerData ByteVocabulary(const char* pre) {
  model::TokenizerData data;
  data.model = "gpt2";
  data.pre = pre;
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
    std::string name;
    AppendUtf8(printable ? static_cast<char32_t>(byte) : next++, name);
    AddToken(data, name, model::TokenType::kNormal);
  }
  data.merges = {"a b",           "ab a",          "aba b", "a a",          "\u0120 a",
                 "\u0120 \u0120", "\u010A \u010A", "1 1",   "\u00C3 \u00A9"};
  for (std::string merged : data.merges) {
    merged.erase(merged.find(' '), 1);
    AddToken(data, merged, model::TokenType::kNormal);
  }
  AddToken(data, "<u>", model::TokenType::kUserDefined);
  AddToken(data, "<|end|>", model::TokenType::kControl);
  data.eos = static_cast<int32_t>(data.tokens.size()) - 1;
  return data;
}

// Three special tokens and 256 bytes.
inline model::TokenizerData NamedBytes(const char* kind) {
  model::TokenizerData data;
  data.model = kind;
  AddToken(data, "<unk>", model::TokenType::kUnknown);
  AddToken(data, "<s>", model::TokenType::kControl);
  AddToken(data, "</s>", model::TokenType::kControl);
  for (int byte = 0; byte < 256; ++byte)
    AddToken(data, fmt::format("<0x{:02X}>", byte), model::TokenType::kByte);
  data.unknown = 0;
  data.bos = 1;
  data.eos = 2;
  return data;
}

inline model::TokenizerData CharacterVocabulary() {
  model::TokenizerData data = NamedBytes("gemma4");
  for (const char* name : {"\u2581", "a", "b", "\u00E9", "\n", "\n\n", "\u2581a", "ab", "aba", "b\u2581"})
    AddToken(data, name, model::TokenType::kNormal);
  data.merges = {"\u2581 a", "a b", "ab a", "b \u2581", "\u00E9 \u00E9"};
  AddToken(data, "<u>", model::TokenType::kUserDefined);
  return data;
}

inline model::TokenizerData SentencePieceVocabulary() {
  model::TokenizerData data = NamedBytes("llama");
  float score = 0;
  for (const char* name : {"\u2581a", "ab", "\u2581\u2581", "aba", "\u2581abab", "\u00E9\u00E9", "aa", "11",
                           "\u2581", "a", "b", "\u00E9", "1", "s"}) {
    AddToken(data, name, model::TokenType::kNormal, score -= 1);
  }
  return data;
}

}  // namespace throng::fuzz
