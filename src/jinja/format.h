// Values as text, as Python writes them.
#pragma once

#include <string>

#include "jinja/runtime.h"
#include "jinja/text.h"
#include "jinja/value.h"

namespace throng::jinja {

// str(value), which printing uses.
Text ToText(Runtime& runtime, const Value& value);
// repr(value). What holds anything said is said as a whole.
Text Repr(Runtime& runtime, const Value& value);
// repr of a float.
std::string FloatText(double value);

// format % values; values: a tuple, a dict or one value.
Text PercentFormat(Runtime& runtime, const Text& format, const Value& values);
// format.format(...)
Text BraceFormat(Runtime& runtime, const Text& format, const Arguments& arguments);

// json.dumps(value), as the filter tojson of transformers.
struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool has_indent = false;  // else on one line
  std::string indent;       // of one level
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
Text ToJson(Runtime& runtime, const Value& value, const JsonStyle& style);

}  // namespace throng::jinja
