#include "llm/tools/json_value.h"

#include "llm/tools/answer_format.h"

namespace throng::llm {

size_t JsonValueScan::Take(std::string_view text) {
  size_t taken = 0;
  while (taken < text.size() && !done_) {
    const char byte = text[taken];
    if (AnswerFormat::IsMark(byte)) {
      done_ = true;
      break;
    }
    if (in_string_) {
      ++taken;
      const bool closes = byte == '"' && !escaped_;
      escaped_ = byte == '\\' && !escaped_;
      in_string_ = !closes;
      done_ = closes && depth_ == 0;
      continue;
    }
    const bool closes = byte == '}' || byte == ']';
    const bool is_space = byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
    if (depth_ == 0 && (closes || byte == ',' || (is_space && begun_))) {  // after a number or a name
      done_ = true;
      break;
    }
    ++taken;
    begun_ = true;
    if (byte == '"') in_string_ = true;
    if (byte == '{' || byte == '[') ++depth_;
    if (closes) done_ = --depth_ == 0;
  }
  return taken;
}

}  // namespace throng::llm
