// Reads the JSON objects of requests, against the table of their fields.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/fields/field_table.h"
#include "serve/request_error.h"

namespace throng::serve {

using Json = nlohmann::ordered_json;  // schemas order the keys of answers

// Throws RequestError for what is no JSON object, and for nesting that is too deep.
Json ParseBody(std::string_view body);

// A number without a fraction, however it is written: 5 and 5.0.
std::optional<int64_t> WholeNumber(const Json& value);

[[noreturn]] void FailField(const std::string& path, const Json& found, const std::string& allowed,
                            const char* code = "invalid_value");

// An object of a body. A field that is null counts as absent. All functions throw RequestError, with the
// field's path, for a value that is not allowed.
class JsonFields {
 public:
  // The body itself, which outlives this object as the others' values do. Checks that the table has every
  // field, and refuses those that it says to refuse.
  JsonFields(Endpoint endpoint, const Json& body) : JsonFields(endpoint, body, "", "") {}
  // The object of field `name`, or of entry `index` of the list in that field: its fields are checked, too.
  JsonFields Object(const char* name, const Json& value) const;
  JsonFields Entry(const char* name, size_t index, const Json& value) const;

  std::string Path(const char* name) const { return path_ + name; }
  const Json* Find(const char* name) const;
  const Json& Get(const char* name) const;  // fails if it is absent

  bool Bool(const char* name, bool fallback = false) const;
  float Number(const char* name, double fallback, double min, double max) const;
  int Integer(const char* name, int fallback, int min, int max) const;
  std::string Text(const char* name, const std::string& fallback = "") const;
  // A list of texts that are not empty; absent: an empty list.
  std::vector<std::string> Texts(const char* name, size_t most) const;
  // A list of token ids, whose membership in the vocabulary is checked later; absent: an empty list.
  std::vector<int32_t> Tokens(const char* name, size_t most) const;
  // The text of a JSON schema.
  std::string Schema(const char* name) const;

 private:
  JsonFields(Endpoint endpoint, const Json& object, std::string path, std::string table_path);
  void CheckKnown(const std::string& name, const Json& value) const;

  Endpoint endpoint_;
  const Json* object_;
  std::string path_;        // of the object, with a dot or nothing at its end: "messages[3]."
  std::string table_path_;  // the same as the table has it: "messages[]."
};

// Token ids of a list. path: of the list.
std::vector<int32_t> ParseTokens(const std::string& path, const Json& list, const std::string& allowed);

}  // namespace throng::serve
