// Judges JSON values by a JSON schema (2020-12). src/llm/grammar/json_schema.h generates from schemas, and
// knows fewer.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace throng::llm {

// Known: all keywords of the vocabularies Core, Applicator and Validation but $dynamicRef, $anchor,
// $vocabulary and unevaluated*; a $ref points into the schema itself ("#", "#/$defs/name"). Annotations,
// format included, change nothing. Numbers are 64-bit integers, or doubles.
class SchemaCheck {
 public:
  // Throws kInvalid for a schema that is wrong, kUnsupported for a keyword that is not known, with the path.
  // explains: whether WhatIsWrong says what, which takes longer than finding it, or only "not allowed".
  explicit SchemaCheck(std::string_view schema, bool explains = true);
  ~SchemaCheck();

  // Empty if the schema allows the value; else one clause: "/age is 5.5, allowed is an integer".
  std::string WhatIsWrong(const nlohmann::ordered_json& value) const;

  // An allowed value in the form that the engine in this process would have written: the keys of objects in
  // the order of the schema's properties, and whole numbers without a fraction where an integer is asked for.
  nlohmann::ordered_json InForm(const nlohmann::ordered_json& value) const;

 private:
  class Judge;
  std::unique_ptr<Judge> judge_;
};

}  // namespace throng::llm
