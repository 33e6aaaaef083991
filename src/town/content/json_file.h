// Reads the scenario's JSON files: every access is checked, and a problem says in one sentence where, what
// was found and what is allowed.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "town/content/problems.h"

namespace throng::town {

// Keeps keys in file order: the order of a schema's properties is the order of the answer's.
using Json = nlohmann::ordered_json;

// A whole file of at most 16 MiB, without the mark (BOM) that some editors put before UTF-8. A text that is
// not UTF-8 is a problem that names its encoding.
std::optional<std::string> ReadText(const std::string& path, Problems& problems);

// Nothing if the text is not JSON, which is a problem with its line.
std::optional<Json> ParseJson(const std::string& path, const std::string& text, Problems& problems);
std::optional<Json> ReadJson(const std::string& path, Problems& problems);

// A value of a file and its place in it. It points into the Json and the Problems, which must outlive it.
// What does not fit goes to the Problems, and the reader gets a value that does: so one pass finds them all.
// A view of a value that is missing is silent, as that was said already.
class JsonView {
 public:
  // The whole file; null: it is missing.
  JsonView(const Json* value, std::string file, Problems& problems)
      : value_(value), file_(std::move(file)), problems_(&problems) {}

  // Notes "found <value>, allowed: <allowed>" for this place.
  void Fail(std::string_view allowed) const;
  // Notes another sentence.
  void Note(std::string what) const;

  // For objects: OnlyKeys notes all other keys, At reads a required key, Find an optional one.
  void OnlyKeys(std::initializer_list<std::string_view> keys) const;
  JsonView At(std::string_view key) const;
  std::optional<JsonView> Find(std::string_view key) const;

  // Empty if there are fewer or more.
  std::vector<JsonView> Items(size_t min, size_t max) const;
  // One line of printable text; empty if it is none.
  std::string Text(size_t min_bytes, size_t max_bytes) const;
  // A text of any length and number of lines; empty if it is none.
  std::string Lines() const;
  // The least number if it is none.
  int64_t Int(int64_t min, int64_t max) const;
  double Number(double min, double max) const;
  bool Bool() const;
  // "HH:MM" as minutes since midnight.
  int ClockMinutes() const;

  bool Missing() const { return value_ == nullptr; }
  const Json& Raw() const;  // null if it is missing
  Problems& GetProblems() const { return *problems_; }

 private:
  JsonView(const Json* value, const JsonView& parent, std::string at)
      : value_(value), file_(parent.file_), at_(std::move(at)), problems_(parent.problems_) {}
  bool IsObject() const;

  const Json* value_;
  std::string file_;
  std::string at_;
  Problems* problems_;
};

// Minutes since midnight, if the text is HH:MM.
std::optional<int> ParseClock(std::string_view text);

}  // namespace throng::town
