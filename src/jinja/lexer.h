// Cuts a template's source into tokens, and applies its rules for white space: as transformers sets Jinja up,
// the line break after a block or comment is not part of the text (trim_blocks), nor are spaces before one
// that begins a line (lstrip_blocks).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace throng::jinja {

struct Token {
  enum Kind {
    kData,        // text between tags
    kBlockBegin,  // {%
    kBlockEnd,    // %}
    kPrintBegin,  // {{
    kPrintEnd,    // }}
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd,
  };
  Kind kind;
  std::string text;  // kString: what it stands for; kInteger and kFloat: without underscores
  size_t offset;     // of its first byte in the source
};

// Line breaks as templates see them (\n), without one at the very end.
std::string NormaliseSource(std::string_view source);

// The last token is kEnd. `name` begins the messages of errors. Throws kInvalid with line and column.
std::vector<Token> Lex(std::string_view name, std::string_view source);

}  // namespace throng::jinja
