// Reads the scenario's JSON files: every access is checked, and an error says in one sentence where, what was
// found and what is allowed.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace throng::town {

// Keeps keys in file order: the order of a schema's properties is the order of the answer's.
using Json = nlohmann::ordered_json;

// Reads a whole file of at most 16 MiB; throws kIo or kInvalid with the path.
std::string ReadText(const std::string& path);

// Throws kInvalid with the path, line and column if the text is not JSON.
Json ParseJson(const std::string& path, const std::string& text);

// A value and its place ("town/map.json: places[3].rect"). It points into the Json, which must outlive it.
class JsonView {
 public:
  JsonView(const Json& value, std::string where) : value_(&value), where_(std::move(where)) {}

  // "<where>: found <value>, allowed: <allowed>".
  [[noreturn]] void Fail(std::string_view allowed) const;

  // For objects: OnlyKeys lists the allowed keys, At reads a required key, Find an optional one.
  void OnlyKeys(std::initializer_list<std::string_view> keys) const;
  JsonView At(std::string_view key) const;
  std::optional<JsonView> Find(std::string_view key) const;

  std::vector<JsonView> Items(size_t min, size_t max) const;
  // One line of printable text.
  std::string Text(size_t min_bytes, size_t max_bytes) const;
  int64_t Int(int64_t min, int64_t max) const;
  double Number(double min, double max) const;
  bool Bool() const;
  // "HH:MM" as minutes since midnight.
  int ClockMinutes() const;

  const Json& Raw() const { return *value_; }
  const std::string& Where() const { return where_; }

 private:
  void MustBeObject() const;

  const Json* value_;
  std::string where_;
};

// Minutes since midnight, if the text is HH:MM.
std::optional<int> ParseClock(std::string_view text);

}  // namespace throng::town
