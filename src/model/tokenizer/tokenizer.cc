#include "model/tokenizer/tokenizer.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"
#include "base/error.h"
#include "base/text/utf8.h"
#include "model/tokenizer/tokenizer_encoder.h"
#include "model/tokenizer/tokenizer_names.h"
#include "model/tokenizer/tokenizer_special.h"

namespace throng::model {
namespace {

void CheckId(const char* key, int32_t id, size_t num_tokens) {
  if (id >= -1 && id < static_cast<int64_t>(num_tokens)) return;
  throw MakeError(ErrorCode::kCorrupt, "tokenizer.ggml.{} is {}, but there are {} tokens", key, id,
                  num_tokens);
}

template <typename T>
void CheckLength(const char* key, const std::vector<T>& values, size_t num_tokens) {
  if (values.size() == num_tokens) return;
  throw MakeError(ErrorCode::kCorrupt, "tokenizer.ggml.{} has {} elements, but there are {} tokens", key,
                  values.size(), num_tokens);
}

void Check(const TokenizerData& data) {
  const size_t num_tokens = data.tokens.size();
  if (num_tokens == 0 || num_tokens > INT32_MAX / 4) {
    throw MakeError(ErrorCode::kCorrupt, "tokenizer.ggml.tokens has {} elements; allowed are 1 to {}",
                    num_tokens, INT32_MAX / 4);
  }
  CheckLength("token_type", data.types, num_tokens);
  CheckId("bos_token_id", data.bos, num_tokens);
  CheckId("eos_token_id", data.eos, num_tokens);
  CheckId("eot_token_id", data.eot, num_tokens);
  CheckId("unknown_token_id", data.unknown, num_tokens);
  for (const int32_t id : data.more_ends) CheckId("eom_token_id or fim_*_token_id", id, num_tokens);
}

// For files without types: all tokens are normal, except those that must be something else.
void AddTypes(TokenizerData& data) {
  data.types.assign(data.tokens.size(), TokenType::kNormal);
  if (data.model == "gpt2") return;
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    if (ByteOfName(data.tokens[id]) >= 0) data.types[id] = TokenType::kByte;
  }
}

}  // namespace

Tokenizer::Tokenizer(TokenizerData data) : data_(std::move(data)) {
  if (data_.model != "llama" && data_.model != "gpt2" && data_.model != "gemma4") {
    throw MakeError(ErrorCode::kUnsupported, "tokenizer.ggml.model is \"{}\"; known are llama, gpt2, gemma4",
                    data_.model.substr(0, 100));
  }
  if (data_.types.empty()) AddTypes(data_);
  Check(data_);
  const PreTokenizer* pre = nullptr;
  if (data_.model == "llama") {
    CheckLength("scores", data_.scores, data_.tokens.size());
    kind_ = Kind::kSentencePiece;
    normalizer_ = {.spaces_as_symbols = true, .squeezes_spaces = data_.squeeze_spaces};
    space_prefix_ = data_.add_space_prefix;
  } else {
    pre = &FindPreTokenizer(data_.model == "gemma4" ? "gemma4" : data_.pre);
    kind_ = pre->Has(kSpacesAsSymbols) ? Kind::kCharacterBpe : Kind::kByteBpe;
    normalizer_ = {.composes = pre->Has(kComposes), .spaces_as_symbols = pre->Has(kSpacesAsSymbols)};
  }
  by_name_ = TextIndex(data_.tokens.size());
  for (int32_t id = 0; id < VocabSize(); ++id) {
    by_name_.Insert(data_.tokens[id], id,
                    [&](int32_t other) -> std::string_view { return data_.tokens[other]; });
  }
  SetEnds();
  SetTokenBytes();
  const bool usually_adds_bos = pre == nullptr || pre->Has(kAddsBos);
  adds_bos_ = data_.bos >= 0 && (data_.add_bos < 0 ? usually_adds_bos : data_.add_bos != 0);
  special_ = std::make_unique<SpecialTokens>(data_);
  encoder_ = pre == nullptr ? MakeSentencePiece(data_) : MakeBpe(data_, *pre, bytes_);
}

Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

// Also makes all ending tokens control tokens, even if the file gives another type: they stand for no text.
void Tokenizer::SetEnds() {
  mended_ = MendTypes(data_, by_name_);
  ends_ = FindEnds(data_, by_name_);
  is_end_.resize(data_.tokens.size());
  for (const int32_t id : ends_) {
    is_end_[id] = true;
    data_.types[id] = TokenType::kControl;
  }
  if (data_.bos >= 0) data_.types[data_.bos] = TokenType::kControl;
}

void Tokenizer::SetTokenBytes() {
  bytes_.resize(data_.tokens.size());
  const bool is_bytes = kind_ == Kind::kByteBpe;
  for (int32_t id = 0; id < VocabSize(); ++id) {
    const std::string& name = data_.tokens[id];
    switch (Type(id)) {
      case TokenType::kControl:
      case TokenType::kUnknown:
        break;
      case TokenType::kByte:
        if (ByteOfName(name) >= 0) bytes_[id] = static_cast<char>(ByteOfName(name));
        break;
      case TokenType::kUserDefined:
        bytes_[id] = is_bytes ? name : SpacesOfSymbols(name);
        break;
      case TokenType::kNormal:
      case TokenType::kUnused:
        if (!is_bytes) bytes_[id] = SpacesOfSymbols(name);
        if (is_bytes && !BytesOfSymbols(name, bytes_[id])) bytes_[id] = name;
        break;
    }
  }
}

int32_t Tokenizer::Find(std::string_view name) const {
  return by_name_.Find(name, [&](int32_t id) -> std::string_view { return data_.tokens[id]; });
}

std::vector<int32_t> Tokenizer::Encode(std::string_view text, EncodeOptions options) const {
  const TextRange all{0, options.parse_special ? text.size() : 0};
  return EncodeText(text, {&all, 1}, options.add_bos, options.add_eos);
}

std::vector<int32_t> Tokenizer::Encode(std::span<const TextPart> parts, bool add_bos) const {
  std::string text;
  std::vector<TextRange> trusted;
  for (const TextPart& part : parts) {
    if (part.parse_special) trusted.push_back({text.size(), text.size() + part.text.size()});
    text += part.text;
  }
  return EncodeText(text, trusted, add_bos, false);
}

std::vector<int32_t> Tokenizer::EncodeText(std::string_view text, std::span<const TextRange> trusted,
                                           bool add_bos, bool add_eos) const {
  if (text.size() > kMaxTextBytes) {
    throw MakeError(ErrorCode::kInvalid, "a text of {} bytes cannot be tokenized; at most {} are allowed",
                    text.size(), kMaxTextBytes);
  }
  std::vector<int32_t> ids;
  if (add_bos && data_.bos >= 0) ids.push_back(data_.bos);
  size_t pos = 0;
  while (const auto hit = special_->Next(text, pos, trusted)) {
    EncodeRaw(text.substr(pos, hit->begin - pos), ids);
    ids.push_back(hit->id);
    pos = hit->end;
  }
  EncodeRaw(text.substr(pos), ids);
  if (add_eos && data_.eos >= 0) ids.push_back(data_.eos);
  return ids;
}

// Encodes text between special tokens, or between one and an end of the text.
void Tokenizer::EncodeRaw(std::string_view text, std::vector<int32_t>& ids) const {
  std::string buffer;
  text = normalizer_.Apply(text, buffer);
  if (text.empty()) return;
  if (space_prefix_) {
    encoder_->Encode(" " + std::string(text), ids);
  } else {
    encoder_->Encode(text, ids);
  }
}

std::string Tokenizer::Normalized(std::string_view text) const {
  std::string result, buffer;
  const auto add = [&](std::string_view part) {
    part = normalizer_.Apply(part, buffer);
    if (space_prefix_ && !part.empty() && !result.empty()) result += ' ';
    result += part;
  };
  size_t pos = 0;
  while (const auto hit = special_->Next(text, pos, {})) {
    add(text.substr(pos, hit->begin - pos));
    result += bytes_[hit->id];
    pos = hit->end;
  }
  add(text.substr(pos));
  return result;
}

std::string Tokenizer::Decode(std::span<const int32_t> ids) const {
  std::string text;
  for (const int32_t id : ids) text += CheckedBytes(id);
  if (space_prefix_ && text.starts_with(' ')) text.erase(0, 1);
  return text;
}

const std::string& Tokenizer::CheckedBytes(int32_t id) const {
  if (id < 0 || id >= VocabSize()) {
    throw MakeError(ErrorCode::kInvalid, "token {} is not in the vocabulary, which has 0 to {}", id,
                    VocabSize() - 1);
  }
  return bytes_[id];
}

std::string Detokenizer::Push(int32_t id) {
  held_ += tokenizer_->CheckedBytes(id);
  if (strip_space_ && !held_.empty()) {
    strip_space_ = false;
    if (held_[0] == ' ') held_.erase(0, 1);
  }
  std::string text;
  std::string_view rest = held_;
  while (!rest.empty()) {
    const size_t valid = ValidUtf8Prefix(rest);
    text += rest.substr(0, valid);
    rest.remove_prefix(valid);
    if (rest.empty()) break;
    const Utf8Step step = NextUtf8(rest);
    if (step.kind == Utf8Step::kIncomplete) break;
    AppendUtf8(0xFFFD, text);
    rest.remove_prefix(step.length);
  }
  held_.erase(0, held_.size() - rest.size());
  return text;
}

std::string Detokenizer::Flush() {
  const std::string text = ReplaceInvalidUtf8(held_);
  held_.clear();
  return text;
}

}  // namespace throng::model
