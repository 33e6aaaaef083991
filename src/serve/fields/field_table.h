// Every field of every endpoint's body: what becomes of it. A field that is not in here is refused, since it
// may have been meant to change the answer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace throng::serve {

// Bits, as many fields belong to several.
enum Endpoint : uint32_t {
  kChat = 1 << 0,               // POST /v1/chat/completions
  kText = 1 << 1,               // POST /v1/completions
  kEmbeddings = 1 << 2,         // POST /v1/embeddings
  kResponses = 1 << 3,          // POST /v1/responses
  kTokenize = 1 << 4,           // POST /tokenize
  kDetokenize = 1 << 5,         // POST /detokenize
  kOllamaChat = 1 << 6,         // POST /api/chat
  kOllamaText = 1 << 7,         // POST /api/generate
  kOllamaShow = 1 << 8,         // POST /api/show
  kOllamaEmbed = 1 << 9,        // POST /api/embed
  kOllamaEmbeddings = 1 << 10,  // POST /api/embeddings
};

enum class Use {
  kComputed,
  kNoEffect,  // whatever its value, the answer is the same
  kRefused,   // unless its value is one that asks for nothing
};

struct Field {
  uint32_t endpoints;
  // With the names of the objects that hold it: "stream_options.include_usage", "messages[].role". Objects
  // whose fields are not listed, such as schemas, are read as a whole.
  const char* name;
  Use use;
  const char* note;  // for the documentation: a value's range, or why
  // For kRefused: values, as a JSON list, that ask for nothing; null always does.
  const char* neutral = "";
};

// The field of that name, or null.
const Field* FindField(Endpoint endpoint, std::string_view name);

// The section of docs/api.md on an endpoint, in Markdown.
std::string FieldsAsMarkdown(Endpoint endpoint);

}  // namespace throng::serve
