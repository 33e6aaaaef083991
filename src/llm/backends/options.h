// Options of a backend as users write them: "key=value,key=value", with errors that name what is allowed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace throng::llm {

// A backend binds its fields to names, then parses; unnamed keys and wrong values are refused with one
// sentence.
class Options {
 public:
  explicit Options(std::string where) : where_(std::move(where)) {}

  Options& Bind(const char* key, double& field, double min, double max);
  Options& Bind(const char* key, int& field, int min, int max);
  Options& Bind(const char* key, int64_t& field, int64_t min, int64_t max);
  Options& Bind(const char* key, uint64_t& field);
  Options& Bind(const char* key, bool& field);  // 0 or 1
  Options& Bind(const char* key, std::string& field);

  // Throws kInvalid. Empty text sets nothing.
  void Parse(std::string_view text, char separator = ',') const;

 private:
  using Setter = std::function<bool(const std::string& value)>;  // false: not allowed
  struct Binding {
    const char* key;
    std::string allowed;
    Setter set;
  };

  std::string where_;
  std::vector<Binding> bindings_;
};

}  // namespace throng::llm
