// The two kinds of vocabularies, as encoders of text without control tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer/tokenizer.h"

namespace throng::model {

class TextEncoder {
 public:
  virtual ~TextEncoder() = default;
  // Appends the tokens of the text, which may be any bytes. Thread-safe.
  virtual void Encode(std::string_view text, std::vector<int32_t>& ids) const = 0;
};

// How text is split into words before a byte-level BPE merges within each.
struct PreTokenizer {
  const char* name;  // of tokenizer.ggml.pre
  std::vector<const char*>
      patterns;            // each splits what the one before left: matches, and what is between them
  bool whole_words_first;  // a word that is itself a token is not merged but taken
  bool adds_bos;           // where the file does not say
};

// Throws kUnsupported, naming those that are known. An empty name is "default".
const PreTokenizer& FindPreTokenizer(std::string_view name);

class WordSplitter {
 public:
  explicit WordSplitter(const PreTokenizer& pre);
  ~WordSplitter();
  WordSplitter(const WordSplitter&) = delete;
  WordSplitter& operator=(const WordSplitter&) = delete;

  // The ends of the words, ascending; the last is the text's. Bytes that are not UTF-8 are words of their
  // own.
  void Split(std::string_view text, std::vector<uint32_t>& ends) const;

 private:
  class Pattern;
  std::vector<std::unique_ptr<Pattern>> patterns_;
};

// GPT-2's stand-ins for bytes in the names of tokens: printable characters. Empty and false if a character is
// none.
bool BytesOfSymbols(std::string_view symbols, std::string& bytes);

// token_bytes[id] is what a token stands for; both arguments must outlive the encoder. Throw kCorrupt if the
// vocabulary lacks what every text needs.
std::unique_ptr<TextEncoder> MakeByteBpe(const TokenizerData& data, std::span<const std::string> token_bytes);
std::unique_ptr<TextEncoder> MakeSentencePiece(const TokenizerData& data);

// What "llama" vocabularies write for a space: U+2581.
inline constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81";
// The byte that a token named <0xHH> stands for, or -1.
int ByteOfName(std::string_view name);

}  // namespace throng::model
