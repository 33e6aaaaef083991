// The vocabulary as GGUF files write it.

#include <fmt/ranges.h>

#include <cstdint>
#include <limits>

#include "base/error.h"
#include "base/log.h"
#include "model/gguf/gguf.h"
#include "model/tokenizer/tokenizer.h"

namespace throng::model {
namespace {

int32_t ReadId(const GgufFile& file, std::string_view key) {
  const int64_t id = file.IntOr(key, -1);
  if (id < -1 || id > std::numeric_limits<int32_t>::max()) {
    throw MakeError(ErrorCode::kCorrupt, "{}: {} is {}, which is no token id", file.Name(), key, id);
  }
  return static_cast<int32_t>(id);
}

std::vector<std::string> ReadStrings(const GgufFile& file, std::string_view key) {
  const auto& views = file.Strings(key);
  return {views.begin(), views.end()};
}

TokenType ReadType(const GgufFile& file, int64_t value) {
  if (value == 0) return TokenType::kNormal;  // written by some converters for "not defined"
  if (value < 0 || value > 6) {
    throw MakeError(ErrorCode::kCorrupt, "{}: tokenizer.ggml.token_type has the value {}; allowed are 0 to 6",
                    file.Name(), value);
  }
  return static_cast<TokenType>(value);
}

// Where SentencePiece puts these tokens, in files that have the tokens and not the keys.
void AddSentencePieceDefaults(TokenizerData& data) {
  const auto is = [&](size_t id, TokenType type) { return id < data.types.size() && data.types[id] == type; };
  if (data.unknown < 0 && is(0, TokenType::kUnknown)) data.unknown = 0;
  if (data.bos < 0 && is(1, TokenType::kControl)) data.bos = 1;
  if (data.eos < 0 && is(2, TokenType::kControl)) data.eos = 2;
}

}  // namespace

TokenizerData ReadTokenizerData(const GgufFile& file) {
  TokenizerData data;
  data.model = file.String("tokenizer.ggml.model");
  data.pre = file.StringOr("tokenizer.ggml.pre", "");
  data.tokens = ReadStrings(file, "tokenizer.ggml.tokens");
  if (file.Has("tokenizer.ggml.token_type")) {
    for (const int64_t type : file.Ints("tokenizer.ggml.token_type"))
      data.types.push_back(ReadType(file, type));
  }
  if (data.model == "llama") data.scores = file.Floats("tokenizer.ggml.scores");
  if (data.model == "gpt2" || data.model == "gemma4")
    data.merges = ReadStrings(file, "tokenizer.ggml.merges");
  data.bos = ReadId(file, "tokenizer.ggml.bos_token_id");
  data.eos = ReadId(file, "tokenizer.ggml.eos_token_id");
  data.eot = ReadId(file, "tokenizer.ggml.eot_token_id");
  data.unknown = ReadId(file, "tokenizer.ggml.unknown_token_id");
  for (const char* end : {"eom", "fim_pad", "fim_rep", "fim_sep"}) {
    const int32_t id = ReadId(file, fmt::format("tokenizer.ggml.{}_token_id", end));
    if (id >= 0) data.more_ends.push_back(id);
  }
  if (data.model == "llama") AddSentencePieceDefaults(data);
  if (file.Has("tokenizer.ggml.add_bos_token")) data.add_bos = file.Bool("tokenizer.ggml.add_bos_token");
  data.add_eos = file.BoolOr("tokenizer.ggml.add_eos_token", false);
  data.add_space_prefix = file.BoolOr("tokenizer.ggml.add_space_prefix", true);
  data.squeeze_spaces = file.BoolOr("tokenizer.ggml.remove_extra_whitespaces", false);
  // Phi-3 was trained without the line breaks that its template writes after control tokens.
  data.strip_right_of_control = data.model == "llama" && file.StringOr("general.architecture", "") == "phi3";
  return data;
}

Tokenizer::Tokenizer(const GgufFile& file) try : Tokenizer(ReadTokenizerData(file)) {
  if (!mended_.empty()) {
    spdlog::warn("{}: tokenizer.ggml.token_type is wrong for {}; taken as control tokens", file.Name(),
                 fmt::join(mended_, ", "));
  }
  if (AddsEos()) {
    spdlog::warn("{}: tokenizer.ggml.add_eos_token is true; prompts go without, as an answer follows them",
                 file.Name());
  }
} catch (const Error& error) {
  // Errors of the vocabulary itself do not name the file.
  const std::string message = error.what();
  if (message.starts_with(file.Name())) throw;
  throw Error(error.Code(), file.Name() + ": " + message);
}

}  // namespace throng::model
