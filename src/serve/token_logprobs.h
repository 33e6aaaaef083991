// Log-probabilities as OpenAI's API writes them: one form for chats, another for texts.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "engine/sampling/logprobs.h"
#include "model/tokenizer/tokenizer.h"
#include "serve/fields/json_fields.h"

namespace throng::serve {

// {"content": [{"token", "logprob", "bytes", "top_logprobs"}], "refusal": null}
Json ChatLogprobs(const model::Tokenizer& tokenizer, std::span<const engine::TokenLogprobs> tokens);

// {"tokens", "token_logprobs", "top_logprobs", "text_offset"} of the parts of one text, from its beginning
// on. Offsets count characters, from the text's beginning.
class TextLogprobs {
 public:
  explicit TextLogprobs(const model::Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // The prompt that the text begins with. logprobs: of its tokens from the second on; the first has none.
  Json Prompt(std::string_view text, std::span<const int32_t> tokens,
              std::span<const engine::TokenLogprobs> logprobs);
  // The answer's next part. tokens: those that begin in it.
  Json Part(std::string_view text, std::span<const engine::TokenLogprobs> tokens);

 private:
  const model::Tokenizer& tokenizer_;
  size_t characters_ = 0;  // of the parts so far
  size_t bytes_ = 0;       // of the answer's parts so far
};

// The lists of one, followed by those of the other.
Json JoinTextLogprobs(Json first, const Json& second);

}  // namespace throng::serve
