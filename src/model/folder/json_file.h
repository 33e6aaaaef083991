// JSON files that come with models, checked.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace throng::model {

// An object of one file. Throws kCorrupt with one sentence for what is no JSON object, has a key twice, or is
// nested deeper than max_depth objects and lists. `name` stands for the path in messages.
nlohmann::json ParseJson(std::string_view text, const std::string& name, int max_depth = 32);

// An object in a file, read by keys; null counts as missing. Getters throw kCorrupt with one sentence if the
// key is missing (the ...Or forms return the fallback instead) or if its value is of another kind or out of
// range.
class JsonObject {
 public:
  // `name` stands for the path in messages. Refers to `values`.
  JsonObject(std::string name, const nlohmann::json& values) : name_(std::move(name)), values_(&values) {}

  const std::string& Name() const { return name_; }
  bool Has(const char* key) const { return Find(key) != nullptr; }
  // Null if it is missing.
  const nlohmann::json* Find(const char* key) const;

  // A whole number from 0 to `most`.
  uint32_t Count(const char* key, uint32_t most = 1u << 30) const;
  uint32_t CountOr(const char* key, uint32_t fallback, uint32_t most = 1u << 30) const;
  // A finite number.
  double Number(const char* key) const;
  double NumberOr(const char* key, double fallback) const;
  bool BoolOr(const char* key, bool fallback) const;
  std::string Text(const char* key) const;
  std::string TextOr(const char* key, const std::string& fallback) const;
  // Empty if it is missing.
  std::optional<JsonObject> Object(const char* key) const;

  // Throws kUnsupported: the key has a value that is not computed.
  [[noreturn]] void Refuse(const char* key, std::string_view allowed) const;

 private:
  const nlohmann::json& Get(const char* key) const;
  [[noreturn]] void WrongKind(const char* key, const std::string& expected) const;

  std::string name_;
  const nlohmann::json* values_;
};

// The value as text for messages, short and printable.
std::string ShortJson(const nlohmann::json& value);

}  // namespace throng::model
