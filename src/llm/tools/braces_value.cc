#include "llm/tools/braces_value.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text/trim.h"
#include "base/text/utf8.h"
#include "llm/grammar/grammar.h"
#include "llm/tools/answer_format.h"

namespace throng::llm {

size_t BracesValue::Take(std::string_view text, std::string& json) {
  size_t taken = 0;
  while (taken < text.size() && !done_) {
    const std::string_view rest = text.substr(taken);
    size_t more = 0;
    if (in_string_ || rest.starts_with(quote_)) {
      more = TakeString(rest, json);
    } else if (quote_.starts_with(rest)) {
      break;  // perhaps a quote
    } else if (AnswerFormat::IsMark(rest[0])) {
      done_ = true;
    } else if (at_key_ && rest[0] != '}' && rest[0] != ' ' && rest[0] != '\n') {
      more = TakeKey(rest, json);
    } else {
      TakeByte(rest[0], json);
      more = 1;
    }
    if (more == 0) break;
    taken += more;
  }
  return taken;
}

// To the quote, or as far as none can begin.
size_t BracesValue::TakeString(std::string_view text, std::string& json) {
  if (!in_string_) {
    json += '"';
    in_string_ = true;
    return quote_.size();
  }
  size_t end = text.find(quote_);
  const bool closes = end != std::string_view::npos;
  if (!closes) {
    end = text.size();
    for (size_t length = std::min(quote_.size() - 1, text.size()); length > 0; --length) {
      if (!text.ends_with(quote_.substr(0, length))) continue;
      end -= length;
      break;
    }
  }
  for (const char byte : text.substr(0, end)) {
    const auto value = static_cast<unsigned char>(byte);
    if (value < 0x80) {
      AppendStringChar(value, json);
    } else {
      json += byte;
    }
  }
  if (!closes) return end;
  json += '"';
  in_string_ = false;
  return end + quote_.size();
}

size_t BracesValue::TakeKey(std::string_view text, std::string& json) {
  const size_t end = text.find(':');
  if (end == std::string_view::npos) return 0;
  json += nlohmann::json(ReplaceInvalidUtf8(Trimmed(text.substr(0, end)))).dump() + ":";
  at_key_ = false;
  return end + 1;
}

void BracesValue::TakeByte(char byte, std::string& json) {
  json += byte;
  if (byte == ' ' || byte == '\n') return;
  if (byte == '{' || byte == '[') open_ += byte;
  if ((byte == '}' || byte == ']') && !open_.empty()) open_.pop_back();
  at_key_ = (byte == '{' || byte == ',') && !open_.empty() && open_.back() == '{';
  done_ = open_.empty();
}

}  // namespace throng::llm
