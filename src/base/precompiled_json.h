// nlohmann/json.hpp for the precompiled headers, made cheaper to compile. Sources include the original.
#pragma once

// The literals (`"[]"_json`) are plain inline functions that call the parser, so the compiler would
// instantiate the whole parser in every file, used or not. This keeps their declarations and turns their
// bodies into templates that nothing instantiates.
#define _json(text, size) \
  _json(text, size);      \
  template <typename>     \
  nlohmann::json UnusedLiteral(text, size)
#include <nlohmann/json.hpp>
#undef _json

#include <string>

// precompiled_json.cc instantiates the string parser and the writer once for all files.
#define THRONG_JSON_TEMPLATES(kind, Json)                                                \
  kind template class lexer<Json, iterator_input_adapter<std::string::const_iterator>>;  \
  kind template class parser<Json, iterator_input_adapter<std::string::const_iterator>>; \
  kind template class json_sax_dom_parser<Json>;                                         \
  kind template class json_sax_dom_callback_parser<Json>;                                \
  kind template class serializer<Json>;

namespace nlohmann::detail {
THRONG_JSON_TEMPLATES(extern, json)
THRONG_JSON_TEMPLATES(extern, ordered_json)
}  // namespace nlohmann::detail
