// The encoders of the two kinds of vocabularies, for text without control tokens.
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
  const char* name;  // as in tokenizer.ggml.pre
  std::vector<const char*>
      patterns;            // each splits the pieces of the one before into matches and the text between them
  bool whole_words_first;  // a word that is itself a token is taken without merging
  bool adds_bos;           // used if the file does not say
};

// Throws kUnsupported with the known names. An empty name is "default".
const PreTokenizer& FindPreTokenizer(std::string_view name);

class WordSplitter {
 public:
  explicit WordSplitter(const PreTokenizer& pre);
  ~WordSplitter();
  WordSplitter(const WordSplitter&) = delete;
  WordSplitter& operator=(const WordSplitter&) = delete;

  // The ends of the words, ascending; the last is the text's. Bytes that are not UTF-8 are separate words.
  void Split(std::string_view text, std::vector<uint32_t>& ends) const;

 private:
  class Pattern;
  std::vector<std::unique_ptr<Pattern>> patterns_;
};

// Converts GPT-2's printable stand-ins for bytes in the names of tokens to these bytes. Returns false and no
// bytes if a character is not a stand-in.
bool BytesOfSymbols(std::string_view symbols, std::string& bytes);

// token_bytes[id]: the bytes of a token. Both arguments must outlive the encoder. Throw kCorrupt if the
// vocabulary lacks tokens that every text needs.
std::unique_ptr<TextEncoder> MakeByteBpe(const TokenizerData& data, std::span<const std::string> token_bytes);
std::unique_ptr<TextEncoder> MakeSentencePiece(const TokenizerData& data);

// "llama" vocabularies write a space as U+2581.
inline constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81";
// The byte that a token named <0xHH> stands for, or -1.
int ByteOfName(std::string_view name);

}  // namespace throng::model
