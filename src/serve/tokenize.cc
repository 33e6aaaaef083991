// POST /tokenize and /detokenize, in vLLM's form and in llama.cpp's

#include "base/text/utf8.h"
#include "serve/endpoints.h"
#include "serve/fields/json_fields.h"
#include "serve/reply.h"

namespace throng::serve {
namespace {

constexpr size_t kMaxTokens = 1 << 20;

std::vector<int32_t> Encode(const JsonFields& fields, const model::Tokenizer& tokenizer) {
  if (fields.Find("content") == nullptr) {
    const std::string text = fields.Get("prompt").is_string() ? fields.Text("prompt") : "";
    if (!fields.Get("prompt").is_string()) FailField("prompt", fields.Get("prompt"), "a text");
    return tokenizer.Encode(text, {.add_bos = fields.Bool("add_special_tokens", true) && tokenizer.AddsBos(),
                                   .parse_special = false});
  }
  if (fields.Find("prompt") != nullptr)
    throw BadField("prompt", "invalid_value", "content says already what the text is");
  return tokenizer.Encode(fields.Text("content"),
                          {.add_bos = fields.Bool("add_special") && tokenizer.AddsBos(),
                           .parse_special = fields.Bool("parse_special", true)});
}

std::string PieceOf(const model::Tokenizer& tokenizer, int32_t token) {
  const std::string& bytes = tokenizer.TokenBytes(token);
  return bytes.empty() ? tokenizer.TokenName(token) : ReplaceInvalidUtf8(bytes);
}

}  // namespace

HttpReply Tokenize(Context& context, const HttpRequest& request) {
  const Json body = ParseBody(request.body);
  const JsonFields fields(kTokenize, body);
  const engine::LocalModel& model = context.Model();
  const model::Tokenizer& tokenizer = *model.Loaded().tokenizer;
  const std::vector<int32_t> tokens = Encode(fields, tokenizer);
  Json json = {{"count", tokens.size()}, {"max_model_len", model.Options().max_context}};
  if (fields.Bool("with_pieces")) {
    json["tokens"] = Json::array();
    for (const int32_t token : tokens)
      json["tokens"].push_back({{"id", token}, {"piece", PieceOf(tokenizer, token)}});
  } else {
    json["tokens"] = tokens;
  }
  json["token_strs"] = nullptr;
  if (fields.Bool("return_token_strs")) {
    json["token_strs"] = Json::array();
    for (const int32_t token : tokens) json["token_strs"].push_back(PieceOf(tokenizer, token));
  }
  HttpReply reply;
  reply.body = Dump(json);
  return reply;
}

HttpReply Detokenize(Context& context, const HttpRequest& request) {
  const Json body = ParseBody(request.body);
  const JsonFields fields(kDetokenize, body);
  fields.Get("tokens");
  const std::vector<int32_t> tokens = fields.Tokens("tokens", kMaxTokens);
  const model::Tokenizer& tokenizer = *context.Model().Loaded().tokenizer;
  for (const int32_t token : tokens) {
    if (token < tokenizer.VocabSize()) continue;
    throw BadField("tokens", "invalid_value", "token {} is not in the vocabulary of {}", token,
                   tokenizer.VocabSize());
  }
  const std::string text = tokenizer.Decode(tokens);
  HttpReply reply;
  reply.body = Dump({{"prompt", text}, {"content", text}});  // as vLLM and llama.cpp name it
  return reply;
}

}  // namespace throng::serve
