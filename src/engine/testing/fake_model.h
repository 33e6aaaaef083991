// A whole model for tests without a file: a tokenizer of bytes, and a FakeTransformer.
#pragma once

#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/loaded_model.h"
#include "engine/testing/fake_transformer.h"

namespace throng::engine {

// A vocabulary of single bytes, the space (as SentencePiece writes it), an end, and more control tokens. Byte
// b is token 3 + b.
inline std::unique_ptr<model::Tokenizer> ByteTokenizer(const std::vector<std::string>& control = {}) {
  model::TokenizerData data;
  data.model = "llama";
  data.tokens = {"<unk>", "<s>", "</s>"};
  data.types = {model::TokenType::kUnknown, model::TokenType::kControl, model::TokenType::kControl};
  for (int byte = 0; byte < 256; ++byte) {
    data.tokens.push_back(fmt::format("<0x{:02X}>", byte));
    data.types.push_back(model::TokenType::kByte);
  }
  data.tokens.push_back("\u2581");
  data.types.push_back(model::TokenType::kNormal);
  for (const std::string& name : control) {
    data.tokens.push_back(name);
    data.types.push_back(model::TokenType::kControl);
  }
  data.scores.resize(data.tokens.size());
  data.unknown = 0;
  data.bos = 1;
  data.eos = 2;
  data.add_bos = 1;
  data.add_space_prefix = false;
  return std::make_unique<model::Tokenizer>(std::move(data));
}

// A template in ChatML.
inline constexpr const char* kChatMl =
    "{%- for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

// chat_template: empty: the default. spare_logits: how much longer a row of logits is than the vocabulary.
// control: names of further control tokens.
inline LoadedModel FakeModel(std::string_view chat_template = "", int spare_logits = 0,
                             const std::vector<std::string>& control = {}) {
  LoadedModel model;
  model.tokenizer = ByteTokenizer(control);
  if (!chat_template.empty()) model.chat = model::ChatTemplate(chat_template);
  model.transformer = std::make_unique<FakeTransformer>(model.tokenizer->VocabSize() + spare_logits);
  return model;
}

}  // namespace throng::engine
