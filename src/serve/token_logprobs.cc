#include "serve/token_logprobs.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text/utf8.h"

namespace throng::serve {
namespace {

bool HasText(const model::Tokenizer& tokenizer, int32_t token) {
  return token < tokenizer.VocabSize() && !tokenizer.TokenBytes(token).empty();
}

// What stands for a token without text, such as one that ends answers. Rows of logits may be longer than the
// vocabulary.
std::string NameOf(const model::Tokenizer& tokenizer, int32_t token) {
  return token < tokenizer.VocabSize() ? tokenizer.TokenName(token) : fmt::format("<token {}>", token);
}

Json ChatToken(const model::Tokenizer& tokenizer, const engine::TokenLogprob& entry) {
  Json json = {{"token", nullptr}, {"logprob", entry.logprob}, {"bytes", nullptr}};
  if (HasText(tokenizer, entry.token)) {
    const std::string& bytes = tokenizer.TokenBytes(entry.token);
    json["token"] = ReplaceInvalidUtf8(bytes);
    json["bytes"] = std::vector<uint8_t>(bytes.begin(), bytes.end());
  } else {
    json["token"] = NameOf(tokenizer, entry.token);
  }
  return json;
}

// Bytes that are no characters are written out, so that tokens differ that differ.
std::string TextToken(const model::Tokenizer& tokenizer, int32_t token) {
  if (!HasText(tokenizer, token)) return NameOf(tokenizer, token);
  const std::string& bytes = tokenizer.TokenBytes(token);
  if (ReplaceInvalidUtf8(bytes) == bytes) return bytes;
  std::string text = "bytes:";
  for (const char byte : bytes) text += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
  return text;
}

size_t CountCharacters(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(
      text, [](char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; }));
}

struct Lists {
  Json tokens = Json::array(), logprobs = Json::array(), tops = Json::array(), offsets = Json::array();

  void Add(const model::Tokenizer& tokenizer, int32_t token, const engine::TokenLogprobs* entry,
           size_t offset) {
    tokens.push_back(TextToken(tokenizer, token));
    logprobs.push_back(entry == nullptr ? Json() : Json(entry->chosen.logprob));
    offsets.push_back(offset);
    Json top;
    if (entry != nullptr) {
      // With the token itself, which may be none of the most likely ones.
      for (const engine::TokenLogprob& one : entry->top) top[TextToken(tokenizer, one.token)] = one.logprob;
      top[TextToken(tokenizer, token)] = entry->chosen.logprob;
    }
    tops.push_back(std::move(top));
  }

  Json Take() {
    return {{"tokens", std::move(tokens)},
            {"token_logprobs", std::move(logprobs)},
            {"top_logprobs", std::move(tops)},
            {"text_offset", std::move(offsets)}};
  }
};

}  // namespace

Json ChatLogprobs(const model::Tokenizer& tokenizer, std::span<const engine::TokenLogprobs> tokens) {
  Json content = Json::array();
  for (const engine::TokenLogprobs& token : tokens) {
    Json entry = ChatToken(tokenizer, token.chosen);
    entry["top_logprobs"] = Json::array();
    for (const engine::TokenLogprob& one : token.top)
      entry["top_logprobs"].push_back(ChatToken(tokenizer, one));
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

Json TextLogprobs::Prompt(std::string_view text, std::span<const int32_t> tokens,
                          std::span<const engine::TokenLogprobs> logprobs) {
  Lists lists;
  for (size_t i = 0; i < tokens.size(); ++i) {
    // What the tokens before it spell; some vocabularies leave out the first space of a text.
    const size_t begin = std::min(text.size(), tokenizer_.Decode(tokens.first(i)).size());
    lists.Add(tokenizer_, tokens[i], i == 0 ? nullptr : &logprobs[i - 1],
              CountCharacters(text.substr(0, begin)));
  }
  characters_ = CountCharacters(text);
  return lists.Take();
}

Json TextLogprobs::Part(std::string_view text, std::span<const engine::TokenLogprobs> tokens) {
  Lists lists;
  for (const engine::TokenLogprobs& token : tokens) {
    const std::string_view before = text.substr(0, std::min(text.size(), token.text_begin - bytes_));
    lists.Add(tokenizer_, token.chosen.token, &token, characters_ + CountCharacters(before));
  }
  characters_ += CountCharacters(text);
  bytes_ += text.size();
  return lists.Take();
}

Json JoinTextLogprobs(Json first, const Json& second) {
  for (const auto& [name, list] : second.items())
    first[name].insert(first[name].end(), list.begin(), list.end());
  return first;
}

}  // namespace throng::serve
