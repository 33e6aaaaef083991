// The keywords of JSON Schema, as the lowering of schemas knows them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace throng::llm {

// Whether a keyword says nothing about which values are allowed: annotations of JSON Schema and of OpenAPI,
// and whatever JSON Schema does not know.
bool IsAnnotation(std::string_view keyword);

// Whether a keyword refers to schemas that hold for the same value: SchemaDocument::Alternatives resolves it.
// So is nullable, which belongs to the type.
bool IsCombination(std::string_view keyword);

// Throws kUnsupported, with the path, for a keyword that JSON Schema has but answers cannot be held to, and
// for one that is most likely another one misspelt.
void CheckKeywords(const nlohmann::ordered_json& schema, std::string_view path);

// A name as a part of a JSON pointer, and back.
std::string EscapedForPointer(std::string_view name);
std::string UnescapedFromPointer(std::string_view part);

}  // namespace throng::llm
