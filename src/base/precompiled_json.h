// nlohmann/json.hpp as the precompiled headers have it. Not for sources, which include the original: what is
// here only makes them cheaper to compile.
#pragma once

// The literals (`"[]"_json`) are plain inline functions that call the parser, so the compiler would
// instantiate the whole parser in every file, used or not. This leaves them declared, and makes their bodies
// templates that nothing instantiates.
#define _json(text, size) \
  _json(text, size);      \
  template <typename>     \
  nlohmann::json UnusedLiteral(text, size)
#include <nlohmann/json.hpp>
#undef _json

#include <string>

// precompiled_json.cc holds the parser of strings and the writer, once for all files.
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
