// BPE with a ranked list of pairs to merge: from single bytes ("gpt2"), or from characters, with tokens for
// the bytes of those that are no tokens ("gemma4").

#include <algorithm>
#include <array>
#include <bit>
#include <deque>
#include <utility>

#include "base/error.h"
#include "base/text/utf8.h"
#include "model/tokenizer/tokenizer_encoder.h"
#include "model/tokenizer/tokenizer_index.h"
#include "model/tokenizer/tokenizer_merge.h"

namespace throng::model {
namespace {

// Printable Latin-1 stands for itself, the other bytes in ascending order for U+0100, U+0101, ...
constexpr int kNumSymbols = 0x144;

std::array<int16_t, kNumSymbols> MakeBytesOfSymbols() {
  std::array<int16_t, kNumSymbols> bytes;
  bytes.fill(-1);
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
    bytes[printable ? byte : next++] = static_cast<int16_t>(byte);
  }
  return bytes;
}

uint64_t PairKey(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

// Open addressing: encoding spends its time here.
class PairTable {
 public:
  explicit PairTable(size_t num_pairs) : slots_(std::bit_ceil(2 * num_pairs + 2)) {}

  void Prefetch(int32_t left, int32_t right) const {
    __builtin_prefetch(&slots_[Start(PairKey(left, right))], 1);
  }

  void Insert(int32_t left, int32_t right, MergeRule rule) {  // the first rule of a pair stays
    const uint64_t key = PairKey(left, right);
    size_t i = Start(key);
    while (slots_[i].key != kEmpty && slots_[i].key != key) i = (i + 1) & (slots_.size() - 1);
    if (slots_[i].key == kEmpty) slots_[i] = {key, rule};
  }

  MergeRule Find(int32_t left, int32_t right) const {
    const uint64_t key = PairKey(left, right);
    size_t i = Start(key);
    while (slots_[i].key != kEmpty && slots_[i].key != key) i = (i + 1) & (slots_.size() - 1);
    return slots_[i].rule;
  }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  struct Slot {
    uint64_t key = kEmpty;
    MergeRule rule;
  };

  size_t Start(uint64_t key) const { return (key * 0x9E3779B97F4A7C15ull >> 32) & (slots_.size() - 1); }

  std::vector<Slot> slots_;
};

// Bytes by number of the symbol: the tokens, then what only merges name.
struct SymbolBytes {
  std::string_view operator()(int32_t symbol) const {
    const auto i = static_cast<size_t>(symbol);
    return i < tokens.size() ? tokens[i] : between[i - tokens.size()];
  }

  std::span<const std::string> tokens;
  std::deque<std::string> between;
};

class Bpe : public TextEncoder {
 public:
  Bpe(const TokenizerData& data, const PreTokenizer& pre, std::span<const std::string> token_bytes)
      : pre_(pre),
        splitter_(pre_),
        of_bytes_(!pre.Has(kSpacesAsSymbols)),
        unknown_(data.unknown),
        num_tokens_(static_cast<int32_t>(data.tokens.size())),
        symbols_{token_bytes, {}},
        pairs_(data.merges.size()),
        by_bytes_(data.tokens.size()) {
    for (int32_t id = 0; id < num_tokens_; ++id) {
      const TokenType type = data.types[id];
      if (token_bytes[id].empty()) continue;
      if (type == TokenType::kNormal || (type == TokenType::kUserDefined && !of_bytes_)) {
        by_bytes_.Insert(token_bytes[id], id, symbols_);
      }
    }
    if (of_bytes_) {
      SetByteTokens();
    } else {
      SetNamedByteTokens(data);
      while (FindToken(std::string(longest_break_ + 1, '\n')) >= 0) ++longest_break_;
    }
    AddMerges(data.merges);
  }

  void Encode(std::string_view text, std::vector<int32_t>& ids) const override {
    std::vector<uint32_t> ends;
    splitter_.Split(text, ends);
    Merger merger;
    size_t begin = 0;
    for (const uint32_t end : ends) {
      const std::string_view piece = text.substr(begin, end - begin);
      begin = end;
      if (of_bytes_) {
        EncodeWord(piece, merger, ids);
      } else if (piece[0] == '\n') {
        EncodeLineBreaks(piece.size(), ids);
      } else {
        EncodePhrase(piece, merger, ids);
      }
    }
  }

 private:
  // The token of these bytes, or -1.
  int32_t FindToken(std::string_view bytes) const {
    const int32_t symbol = by_bytes_.Find(bytes, symbols_);
    return symbol < num_tokens_ ? symbol : -1;
  }

  void SetByteTokens() {
    for (int byte = 0; byte < 256; ++byte) {
      const char character = static_cast<char>(byte);
      const int32_t token = by_bytes_.Find({&character, 1}, symbols_);
      byte_tokens_[byte] = token < 0 ? unknown_ : token;
      const bool in_utf8 = byte < 0xF5 && byte != 0xC0 && byte != 0xC1;
      if (in_utf8 && byte_tokens_[byte] < 0) {
        throw MakeError(ErrorCode::kCorrupt, "tokenizer.ggml.tokens has no token for byte 0x{:02X}", byte);
      }
    }
  }

  // Tokens named <0xHH>.
  void SetNamedByteTokens(const TokenizerData& data) {
    byte_tokens_.fill(unknown_);
    for (int32_t id = 0; id < num_tokens_; ++id) {
      const int byte = data.types[id] == TokenType::kByte ? ByteOfName(data.tokens[id]) : -1;
      if (byte >= 0) byte_tokens_[byte] = id;
    }
    for (int byte = 0; byte < 256; ++byte) {
      if (byte_tokens_[byte] >= 0) continue;
      throw MakeError(ErrorCode::kCorrupt,
                      "tokenizer.ggml.tokens has no token <0x{:02X}>, nor an unknown token", byte);
    }
  }

  // The symbol of some bytes in merges: a token, or an intermediate that is used only within a word.
  int32_t SymbolOf(const std::string& bytes) {
    const int32_t next = num_tokens_ + static_cast<int32_t>(symbols_.between.size());
    const int32_t symbol = by_bytes_.Insert(bytes, next, symbols_);
    if (symbol == next) symbols_.between.push_back(bytes);
    return symbol;
  }

  struct Merge {
    std::string left, right, both;  // bytes
    int32_t left_symbol = -1;
    int32_t right_symbol = -1;
    MergeRule rule;
  };

  // In groups, so that the processor waits for the memory of several look-ups at once.
  void AddMerges(const std::vector<std::string>& merges) {
    std::array<Merge, 32> group;
    size_t size = 0;
    const auto insert = [&] {
      const std::span<Merge> read(group.data(), std::exchange(size, 0));
      for (Merge& merge : read) {
        merge.rule.symbol = SymbolOf(merge.both);
        merge.left_symbol = SymbolOf(merge.left);
        merge.right_symbol = SymbolOf(merge.right);
        pairs_.Prefetch(merge.left_symbol, merge.right_symbol);
      }
      for (const Merge& merge : read) pairs_.Insert(merge.left_symbol, merge.right_symbol, merge.rule);
    };
    for (size_t rank = 0; rank < merges.size(); ++rank) {
      if (!ReadMerge(merges[rank], rank, group[size])) continue;
      if (!of_bytes_) words_are_apart_ &= !CrossesWords(group[size].both, " ");
      by_bytes_.Prefetch(group[size].left);
      by_bytes_.Prefetch(group[size].right);
      by_bytes_.Prefetch(group[size].both);
      if (++size == group.size()) insert();
    }
    insert();
  }

  // Returns false for merges of characters outside the alphabet of bytes, which never occur in a text.
  bool ReadMerge(std::string_view text, size_t rank, Merge& merge) const {
    const size_t space = text.find(' ', 1);
    if (space == std::string_view::npos || space + 1 == text.size()) {
      throw MakeError(ErrorCode::kCorrupt,
                      "tokenizer.ggml.merges[{}] is not two symbols with a space between", rank);
    }
    if (of_bytes_) {
      if (!BytesOfSymbols(text.substr(0, space), merge.left)) return false;
      if (!BytesOfSymbols(text.substr(space + 1), merge.right)) return false;
    } else {
      merge.left = SpacesOfSymbols(text.substr(0, space));
      merge.right = SpacesOfSymbols(text.substr(space + 1));
    }
    merge.both.assign(merge.left).append(merge.right);
    merge.rule.rank = static_cast<uint32_t>(rank);
    return true;
  }

  void EncodeWord(std::string_view word, Merger& merger, std::vector<int32_t>& ids) const {
    if (pre_.Has(kWholeWordsFirst)) {
      const int32_t token = FindToken(word);
      if (token >= 0) {
        ids.push_back(token);
        return;
      }
    }
    merger.Clear();
    for (uint32_t i = 0; i < word.size(); ++i) merger.Add({i, 1, byte_symbol(word[i])});
    EmitMerged(word, merger, ids);
  }

  // Text without line breaks, in which merges may join words.
  void EncodePhrase(std::string_view text, Merger& merger, std::vector<int32_t>& ids) const {
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = words_are_apart_ ? EndOfWord(text, begin, " ") : text.size();
      const std::string_view word = text.substr(begin, end - begin);
      merger.Clear();
      for (size_t pos = 0; pos < word.size();) {
        const size_t length = NextUtf8(word.substr(pos)).length;
        merger.Add({static_cast<uint32_t>(pos), static_cast<uint32_t>(length),
                    by_bytes_.Find(word.substr(pos, length), symbols_)});
        pos += length;
      }
      EmitMerged(word, merger, ids);
      begin = end;
    }
  }

  // A run of line breaks: the longest token first.
  void EncodeLineBreaks(size_t count, std::vector<int32_t>& ids) const {
    while (count > 0 && longest_break_ > 0) {
      const size_t length = std::min(count, longest_break_);
      ids.push_back(FindToken(std::string(length, '\n')));
      count -= length;
    }
    ids.insert(ids.end(), count, byte_symbol('\n'));
  }

  void EmitMerged(std::string_view word, Merger& merger, std::vector<int32_t>& ids) const {
    merger.Run([&](const MergeSymbol& left, const MergeSymbol& right) {
      return pairs_.Find(left.symbol, right.symbol);
    });
    merger.ForEach([&](const MergeSymbol& symbol) {
      if (symbol.symbol >= 0 && symbol.symbol < num_tokens_) {
        ids.push_back(symbol.symbol);
        return;
      }
      for (const char byte : word.substr(symbol.begin, symbol.length)) {
        if (byte_symbol(byte) >= 0) ids.push_back(byte_symbol(byte));
      }
    });
  }

  int32_t byte_symbol(char byte) const { return byte_tokens_[static_cast<uint8_t>(byte)]; }

  const PreTokenizer& pre_;
  WordSplitter splitter_;
  bool of_bytes_;
  int32_t unknown_;
  int32_t num_tokens_;
  SymbolBytes symbols_;
  PairTable pairs_;
  std::array<int32_t, 256> byte_tokens_;  // -1: none
  TextIndex by_bytes_;                    // tokens of text, and symbols of merges that are not tokens
  bool words_are_apart_ = true;           // no merge joins words
  size_t longest_break_ = 0;              // so many line breaks are one token, and so is each smaller number
};

}  // namespace

bool BytesOfSymbols(std::string_view symbols, std::string& bytes) {
  static const std::array<int16_t, kNumSymbols> table = MakeBytesOfSymbols();
  bytes.clear();
  while (!symbols.empty()) {
    const Utf8Step step = NextUtf8(symbols);
    if (step.kind != Utf8Step::kValid || step.value >= kNumSymbols || table[step.value] < 0) {
      bytes.clear();
      return false;
    }
    bytes += static_cast<char>(table[step.value]);
    symbols.remove_prefix(step.length);
  }
  return true;
}

std::unique_ptr<TextEncoder> MakeBpe(const TokenizerData& data, const PreTokenizer& pre,
                                     std::span<const std::string> token_bytes) {
  return std::make_unique<Bpe>(data, pre, token_bytes);
}

}  // namespace throng::model
