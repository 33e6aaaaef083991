// The encoders of the kinds of vocabularies, for text without control tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/tokenizer_split.h"

namespace throng::model {

class TextEncoder {
 public:
  virtual ~TextEncoder() = default;
  // Appends the tokens of the text, which may be any bytes. Thread-safe.
  virtual void Encode(std::string_view text, std::vector<int32_t>& ids) const = 0;
};

// Converts GPT-2's printable stand-ins for bytes in the names of tokens to these bytes. Returns false and no
// bytes if a character is not a stand-in.
bool BytesOfSymbols(std::string_view symbols, std::string& bytes);

// token_bytes[id]: the bytes of a token. All arguments must outlive the encoder. Throw kCorrupt if the
// vocabulary lacks tokens that every text needs.
std::unique_ptr<TextEncoder> MakeBpe(const TokenizerData& data, const PreTokenizer& pre,
                                     std::span<const std::string> token_bytes);
std::unique_ptr<TextEncoder> MakeSentencePiece(const TokenizerData& data);

// Vocabularies that are no byte-level BPE write a space as U+2581.
inline constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81";
std::string SpacesOfSymbols(std::string_view text);
// Does a space follow something else within the token? If it does in none, words can be merged one by one,
// with the same result: EndOfWord finds where the word at pos ends, before the next space.
bool CrossesWords(std::string_view token, std::string_view space);
size_t EndOfWord(std::string_view text, size_t pos, std::string_view space);

// The byte that a token named <0xHH> stands for, or -1.
int ByteOfName(std::string_view name);

}  // namespace throng::model
