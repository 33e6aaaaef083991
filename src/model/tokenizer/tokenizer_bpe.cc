// Byte-level BPE ("gpt2"): words are merged by a ranked list of pairs, starting from single bytes.

#include <array>
#include <bit>

#include "base/error.h"
#include "model/tokenizer/tokenizer_encoder.h"
#include "model/tokenizer/tokenizer_merge.h"
#include "model/tokenizer/tokenizer_utf8.h"

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

class ByteBpe : public TextEncoder {
 public:
  ByteBpe(const TokenizerData& data, std::span<const std::string> token_bytes)
      : pre_(FindPreTokenizer(data.pre)),
        splitter_(pre_),
        unknown_(data.unknown),
        num_tokens_(static_cast<int32_t>(data.tokens.size())),
        pairs_(data.merges.size()) {
    for (int32_t id = 0; id < num_tokens_; ++id) {
      if (data.types[id] == TokenType::kNormal) by_bytes_.emplace(token_bytes[id], id);
    }
    SetByteTokens();
    for (size_t rank = 0; rank < data.merges.size(); ++rank) AddMerge(data.merges[rank], rank);
  }

  void Encode(std::string_view text, std::vector<int32_t>& ids) const override {
    std::vector<uint32_t> ends;
    splitter_.Split(text, ends);
    Merger merger;
    size_t begin = 0;
    for (const uint32_t end : ends) {
      EncodeWord(text.substr(begin, end - begin), merger, ids);
      begin = end;
    }
  }

 private:
  void SetByteTokens() {
    for (int byte = 0; byte < 256; ++byte) {
      const char character = static_cast<char>(byte);
      const auto found = by_bytes_.find(std::string_view(&character, 1));
      byte_tokens_[byte] = found == by_bytes_.end() ? unknown_ : found->second;
      const bool in_utf8 = byte < 0xF5 && byte != 0xC0 && byte != 0xC1;
      if (in_utf8 && byte_tokens_[byte] < 0) {
        throw MakeError(ErrorCode::kCorrupt, "tokenizer.ggml.tokens has no token for byte 0x{:02X}", byte);
      }
    }
  }

  // The symbol of some bytes in merges: a token, or an intermediate that is used only within a word.
  int32_t SymbolOf(std::string bytes) {
    const auto found = by_bytes_.find(bytes);
    if (found != by_bytes_.end()) return found->second;
    const int32_t id = num_tokens_ + static_cast<int32_t>(between_.size());
    between_.push_back(std::make_unique<std::string>(std::move(bytes)));
    by_bytes_.emplace(*between_.back(), id);
    return id;
  }

  void AddMerge(const std::string& merge, size_t rank) {
    const size_t space = merge.find(' ', 1);
    if (space == std::string::npos || space + 1 == merge.size()) {
      throw MakeError(ErrorCode::kCorrupt,
                      "tokenizer.ggml.merges[{}] is not two symbols with a space between", rank);
    }
    std::string left, right;
    // Characters outside the alphabet never occur in a text.
    if (!BytesOfSymbols(std::string_view(merge).substr(0, space), left)) return;
    if (!BytesOfSymbols(std::string_view(merge).substr(space + 1), right)) return;
    const int32_t merged = SymbolOf(left + right);
    pairs_.Insert(SymbolOf(left), SymbolOf(right), {static_cast<uint32_t>(rank), merged});
  }

  void EncodeWord(std::string_view word, Merger& merger, std::vector<int32_t>& ids) const {
    if (pre_.whole_words_first) {
      const auto found = by_bytes_.find(word);
      if (found != by_bytes_.end() && found->second < num_tokens_) {
        ids.push_back(found->second);
        return;
      }
    }
    merger.Clear();
    for (uint32_t i = 0; i < word.size(); ++i) merger.Add({i, 1, byte_symbol(word[i])});
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
  int32_t unknown_;
  int32_t num_tokens_;
  PairTable pairs_;
  std::array<int32_t, 256> byte_tokens_;  // -1: none
  std::unordered_map<std::string_view, int32_t>
      by_bytes_;  // normal tokens, and symbols of merges that are not tokens
  std::vector<std::unique_ptr<std::string>> between_;  // bytes of symbols that are not tokens
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

std::unique_ptr<TextEncoder> MakeByteBpe(const TokenizerData& data,
                                         std::span<const std::string> token_bytes) {
  return std::make_unique<ByteBpe>(data, token_bytes);
}

}  // namespace throng::model
