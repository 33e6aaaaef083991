// For any text and any tokens, decoding gives back the normalised text, and streams are valid UTF-8. Input:
// one byte for the vocabulary, one for the operation, one for where the text is cut into parts, then the
// text.

#include <algorithm>

#include "base/check.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/tokenizer_split.h"
#include "vocabularies.h"

using namespace throng::model;

namespace {

const std::vector<Tokenizer>& Tokenizers() {
  static const std::vector<Tokenizer>* all = [] {
    auto* tokenizers = new std::vector<Tokenizer>();
    tokenizers->emplace_back(throng::fuzz::SentencePieceVocabulary());
    tokenizers->emplace_back(throng::fuzz::CharacterVocabulary());
    for (const PreTokenizer& pre : PreTokenizers()) {
      if (!pre.Has(kSpacesAsSymbols)) tokenizers->emplace_back(throng::fuzz::ByteVocabulary(pre.name));
    }
    return tokenizers;
  }();
  return *all;
}

void CheckIds(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  for (const int32_t id : ids) THRONG_CHECK(id >= 0 && id < tokenizer.VocabSize());
}

void CheckRoundTrip(const Tokenizer& tokenizer, const std::string& text) {
  const std::vector<int32_t> ids = tokenizer.Encode(text);
  CheckIds(tokenizer, ids);
  THRONG_CHECK(tokenizer.Decode(ids) == tokenizer.Normalized(text));
}

void CheckParts(const Tokenizer& tokenizer, const std::string& text, size_t cut) {
  cut = std::min(cut, text.size());
  const std::vector<TextPart> parts = {{text.substr(0, cut), true}, {text.substr(cut), false}};
  CheckIds(tokenizer, tokenizer.Encode(parts, true));
  CheckIds(tokenizer, tokenizer.Encode(text, {true, true}));
}

// Every two bytes are a token.
void CheckStream(const Tokenizer& tokenizer, const std::string& bytes) {
  Detokenizer stream(tokenizer);
  std::string text, raw;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
    const int value = static_cast<uint8_t>(bytes[i]) << 8 | static_cast<uint8_t>(bytes[i + 1]);
    const int32_t id = value % tokenizer.VocabSize();
    text += stream.Push(id);
    raw += tokenizer.TokenBytes(id);
  }
  THRONG_CHECK(throng::ValidUtf8Prefix(text) == text.size());
  THRONG_CHECK(text + stream.Flush() == throng::ReplaceInvalidUtf8(raw));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const Tokenizer& tokenizer = Tokenizers()[data[0] % Tokenizers().size()];
  const std::string text(reinterpret_cast<const char*>(data + 3), size - 3);
  if (data[1] % 3 == 0) CheckRoundTrip(tokenizer, text);
  if (data[1] % 3 == 1) CheckParts(tokenizer, text, data[2]);
  if (data[1] % 3 == 2) CheckStream(tokenizer, text);
  return 0;
}
