// Text to token ids and back, by the vocabulary of a model file. Chat formats are in chat_template.h.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer/tokenizer_index.h"
#include "model/tokenizer/tokenizer_normalize.h"

namespace throng::model {

class GgufFile;
class SpecialTokens;
class TextEncoder;
struct TextRange;

enum class TokenType : uint8_t {  // values of tokenizer.ggml.token_type
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,      // stands for no text
  kUserDefined = 4,  // always found in text, before anything else
  kUnused = 5,
  kByte = 6,
};

// What a model file says about its tokens (keys tokenizer.*); ids are -1 if the file does not give them.
struct TokenizerData {
  // "llama": SentencePiece-style BPE; "gpt2": byte-level BPE; "gemma4": BPE of characters with merges.
  std::string model;
  std::string pre;  // not "llama": how text is split before merging; empty: "default"
  std::vector<std::string> tokens;
  std::vector<float> scores;        // "llama" only: one per token
  std::vector<TokenType> types;     // one per token, or none: all normal
  std::vector<std::string> merges;  // not "llama": "left right", best first
  int32_t bos = -1;
  int32_t eos = -1;
  int32_t eot = -1;
  int32_t unknown = -1;
  std::vector<int32_t> more_ends;  // further tokens that end an answer
  int add_bos = -1;                // 0, 1, or -1: the default of the kind of vocabulary
  bool add_eos = false;            // a text is followed by EOS
  bool add_space_prefix = true;    // "llama" only
  bool squeeze_spaces = false;     // "llama" only: runs of spaces count as one, those at the ends as none
  bool strip_right_of_control = false;  // white space after a control token is not part of the text
};

// Throws kCorrupt or kUnsupported with the key and the value found.
TokenizerData ReadTokenizerData(const GgufFile& file);

// Text in which names of control tokens become these tokens (the frame of a chat) or stay text (user input).
struct TextPart {
  std::string text;
  bool parse_special = false;
};

struct EncodeOptions {
  bool add_bos = false;        // begin with the BOS token, if the vocabulary has one
  bool parse_special = false;  // names of control tokens in the text become these tokens
  bool add_eos = false;        // end with the EOS token, if the vocabulary has one
};

// Immutable: all methods may be called from any thread.
class Tokenizer {
 public:
  // Throws kCorrupt for a vocabulary that contradicts itself, kUnsupported for one of an unknown kind.
  explicit Tokenizer(TokenizerData data);
  explicit Tokenizer(const GgufFile& file);
  Tokenizer(Tokenizer&&) noexcept;
  ~Tokenizer();

  // Text may be any bytes: those that are not UTF-8 become byte tokens (or the unknown token, if the
  // vocabulary has none for them). Throws kInvalid for texts of more than kMaxTextBytes.
  std::vector<int32_t> Encode(std::string_view text, EncodeOptions options = {}) const;
  // Encodes the parts as one text: a word may cross their borders, a control token may not.
  std::vector<int32_t> Encode(std::span<const TextPart> parts, bool add_bos) const;
  // Encodes a whole prompt: after BOS if the model expects it, and without control tokens for any text. No
  // EOS follows, even if the file asks for it: an answer does.
  std::vector<int32_t> EncodePrompt(std::string_view text) const {
    return Encode(text, {.add_bos = adds_bos_, .parse_special = false});
  }
  static constexpr size_t kMaxTextBytes = size_t{1} << 28;

  // The text as the model sees it, after the normaliser of its vocabulary: what Decode(Encode(text)) gives
  // where no byte is unknown.
  std::string Normalized(std::string_view text) const;

  // Returns the bytes of the tokens, one after the other; "llama" vocabularies drop the space that Encode put
  // in front. Throws kInvalid for an id outside the vocabulary.
  std::string Decode(std::span<const int32_t> ids) const;
  // The bytes of a token: possibly part of a UTF-8 character; none for control and unknown tokens.
  const std::string& TokenBytes(int32_t id) const { return bytes_[id]; }
  // The name of a token in the vocabulary, for display.
  const std::string& TokenName(int32_t id) const { return data_.tokens[id]; }
  TokenType Type(int32_t id) const { return data_.types[id]; }
  // The token of that name, or -1.
  int32_t Find(std::string_view name) const;

  int32_t VocabSize() const { return static_cast<int32_t>(data_.tokens.size()); }
  int32_t Bos() const { return data_.bos; }  // -1: none; Eos and Eot too
  int32_t Eos() const { return data_.eos; }
  int32_t Eot() const { return data_.eot; }   // end of a chat turn
  bool AddsBos() const { return adds_bos_; }  // the model expects BOS at the start of a sequence
  bool AddsEos() const { return data_.add_eos && data_.eos >= 0; }  // the file asks for EOS after a text
  bool HasSpacePrefix() const { return space_prefix_; }
  bool IsEndOfGeneration(int32_t id) const { return is_end_[id]; }
  // Every token that ends an answer, ascending.
  const std::vector<int32_t>& EndOfGeneration() const { return ends_; }
  // The tokens that are control tokens by their names while the file calls them something else, with what it
  // calls them: "<|im_start|> (normal)".
  const std::vector<std::string>& MendedTypes() const { return mended_; }

 private:
  friend class Detokenizer;
  enum class Kind { kSentencePiece, kByteBpe, kCharacterBpe };

  void SetEnds();
  void SetTokenBytes();
  std::vector<int32_t> EncodeText(std::string_view text, std::span<const TextRange> trusted, bool add_bos,
                                  bool add_eos) const;
  void EncodeRaw(std::string_view text, std::vector<int32_t>& ids) const;
  const std::string& CheckedBytes(int32_t id) const;

  TokenizerData data_;
  Kind kind_;
  Normalizer normalizer_;
  bool adds_bos_ = false;
  bool space_prefix_ = false;
  std::vector<std::string> bytes_;
  TextIndex by_name_;
  std::vector<bool> is_end_;
  std::vector<int32_t> ends_;
  std::vector<std::string> mended_;
  std::unique_ptr<SpecialTokens> special_;
  std::unique_ptr<TextEncoder> encoder_;
};

// Turns a stream of tokens into a stream of valid UTF-8: holds back the bytes of an incomplete character, and
// replaces bytes that can no longer become one by U+FFFD.
class Detokenizer {
 public:
  // At the start of a text, leaves out the space that "llama" vocabularies put in front. An answer to a
  // prompt is not the start of a text.
  explicit Detokenizer(const Tokenizer& tokenizer, bool at_start = false)
      : tokenizer_(&tokenizer), strip_space_(at_start && tokenizer.HasSpacePrefix()) {}

  // The text that this token completes; often empty inside a character.
  std::string Push(int32_t id);
  // The rest, at the end of the stream.
  std::string Flush();

 private:
  const Tokenizer* tokenizer_;
  bool strip_space_;
  std::string held_;  // at most 3 bytes: the beginning of a character
};

}  // namespace throng::model
