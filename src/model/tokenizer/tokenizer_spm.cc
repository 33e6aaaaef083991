// SentencePiece-style BPE ("llama"): neighbours merge when together they are a token, the best score first.

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/text/utf8.h"
#include "model/tokenizer/tokenizer_encoder.h"
#include "model/tokenizer/tokenizer_index.h"
#include "model/tokenizer/tokenizer_merge.h"

namespace throng::model {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

class SentencePiece : public TextEncoder {
 public:
  explicit SentencePiece(const TokenizerData& data)
      : unknown_(data.unknown),
        names_(data.tokens),
        by_name_(data.tokens.size()),
        ranks_(data.tokens.size()) {
    AddTokens(data);
    for (int byte = 0; byte < 256; ++byte) {
      if (byte_tokens_[byte] < 0 && unknown_ < 0) {
        throw MakeError(ErrorCode::kCorrupt,
                        "tokenizer.ggml.tokens has no token <0x{:02X}>, nor an unknown token", byte);
      }
    }
  }

  void Encode(std::string_view text, std::vector<int32_t>& ids) const override {
    std::string escaped;
    escaped.reserve(text.size() + text.size() / 2);
    for (const char c : text) {
      if (c == ' ') {
        escaped += kSpaceSymbol;
      } else {
        escaped += c;
      }
    }
    Merger merger;
    for (size_t pos = 0; pos < escaped.size();) {
      const size_t end = words_are_apart_ ? EndOfWord(escaped, pos, kSpaceSymbol) : escaped.size();
      EncodeWord(std::string_view(escaped).substr(pos, end - pos), merger, ids);
      pos = end;
    }
  }

 private:
  std::string_view NameOf(int32_t id) const { return names_[static_cast<size_t>(id)]; }
  int32_t Find(std::string_view text) const {
    return by_name_.Find(text, [this](int32_t id) { return NameOf(id); });
  }

  void AddTokens(const TokenizerData& data) {
    const auto score = [&](int32_t id) {
      return std::isnan(data.scores[id]) ? -std::numeric_limits<float>::infinity() : data.scores[id];
    };
    byte_tokens_.fill(-1);
    std::vector<int32_t> order;
    for (int32_t id = 0; id < static_cast<int32_t>(data.tokens.size()); ++id) {
      const TokenType type = data.types[id];
      if (type == TokenType::kByte) {
        const int byte = ByteOfName(data.tokens[id]);
        if (byte < 0) {
          throw MakeError(ErrorCode::kCorrupt,
                          "tokenizer.ggml.tokens[{}] is of type byte but not named <0xHH>", id);
        }
        byte_tokens_[byte] = id;
      } else if ((type == TokenType::kNormal || type == TokenType::kUserDefined) &&
                 !data.tokens[id].empty()) {
        order.push_back(id);
      }
    }
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return score(a) > score(b); });
    uint32_t rank = 0;
    for (size_t i = 0; i < order.size(); ++i) {
      if (i > 0 && score(order[i]) < score(order[i - 1])) ++rank;
      const std::string& name = data.tokens[order[i]];
      ranks_[static_cast<size_t>(order[i])] = rank;
      by_name_.Insert(name, order[i], [this](int32_t id) { return NameOf(id); });
      longest_ = std::max(longest_, name.size());
      words_are_apart_ &= !CrossesWords(name, kSpaceSymbol);
    }
  }

  void EncodeWord(std::string_view word, Merger& merger, std::vector<int32_t>& ids) const {
    merger.Clear();
    for (size_t pos = 0; pos < word.size();) {
      const Utf8Step step = NextUtf8(word.substr(pos));
      merger.Add({static_cast<uint32_t>(pos), static_cast<uint32_t>(step.length), -1});
      pos += step.length;
    }
    merger.Run([&](const MergeSymbol& left, const MergeSymbol& right) -> MergeRule {
      const size_t length = size_t{left.length} + right.length;
      if (length > longest_) return {};
      const int32_t id = Find(word.substr(left.begin, length));
      if (id < 0) return {};
      return {ranks_[static_cast<size_t>(id)], id};
    });
    merger.ForEach([&](const MergeSymbol& symbol) { Emit(word.substr(symbol.begin, symbol.length), ids); });
  }

  // Appends a token, or the bytes of one character that is not a token.
  void Emit(std::string_view text, std::vector<int32_t>& ids) const {
    const int32_t id = Find(text);
    if (id >= 0) {
      ids.push_back(id);
      return;
    }
    const bool has_bytes = std::all_of(text.begin(), text.end(),
                                       [&](char c) { return byte_tokens_[static_cast<uint8_t>(c)] >= 0; });
    if (!has_bytes) {
      ids.push_back(unknown_);
      return;
    }
    for (const char c : text) ids.push_back(byte_tokens_[static_cast<uint8_t>(c)]);
  }

  int32_t unknown_;
  std::array<int32_t, 256> byte_tokens_;  // -1: none
  std::span<const std::string> names_;
  TextIndex by_name_;
  std::vector<uint32_t> ranks_;  // by id: 0 for the best score; equal scores share a rank
  size_t longest_ = 0;           // bytes
  bool words_are_apart_ = true;
};

}  // namespace

bool CrossesWords(std::string_view token, std::string_view space) {
  while (token.starts_with(space)) token.remove_prefix(space.size());
  return token.find(space) != std::string_view::npos;
}

size_t EndOfWord(std::string_view text, size_t pos, std::string_view space) {
  while (text.substr(pos).starts_with(space)) pos += space.size();
  return std::min(text.find(space, pos), text.size());
}

int ByteOfName(std::string_view name) {
  if (name.size() != 6 || !name.starts_with("<0x") || name[5] != '>') return -1;
  const int high = HexDigit(name[3]), low = HexDigit(name[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

std::unique_ptr<TextEncoder> MakeSentencePiece(const TokenizerData& data) {
  return std::make_unique<SentencePiece>(data);
}

}  // namespace throng::model
