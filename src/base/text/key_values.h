// Parses what users write after a name, "key=value,key=value", into typed values; refuses with one sentence.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

namespace throng {

// "gear2:r=4,s=2%" has the name gear2; KeyValues parses the part after the colon, which may be empty.
struct NamedValues {
  std::string_view name;
  std::string_view values;
};
NamedValues SplitName(std::string_view text);

class KeyValues {
 public:
  // Each message begins with `owner`, for example "codec gear2". Throws kInvalid if the text is malformed or
  // repeats a key.
  KeyValues(std::string_view owner, std::string_view text, char separator = ',');

  // Return the value of a key, or `missing` if it is not given. All throw kInvalid for a value that is not
  // allowed.
  int Int(const std::string& key, int missing, int lowest, int highest);
  int64_t Int64(const std::string& key, int64_t missing, int64_t lowest, int64_t highest);
  uint64_t Uint64(const std::string& key, uint64_t missing);
  double Number(const std::string& key, double missing, double lowest, double highest);
  double Fraction(const std::string& key, double missing, double lowest, double highest);  // "2%" or "0.02"
  bool Flag(const std::string& key, bool missing);                                         // "0" or "1"
  std::string Text(const std::string& key, const std::string& missing);
  // Returns the index of the value in `allowed`; 0 if the key is not given.
  int Choice(const std::string& key, std::initializer_list<std::string_view> allowed);
  // One or more of the allowed digits; empty if the key is not given.
  std::string Digits(const std::string& key, std::string_view allowed);

  // Throws kInvalid if the text has a key that was never asked for.
  void CheckAllUsed() const;

 private:
  struct Value {
    std::string text;
    bool used = false;
  };
  const std::string* Find(const std::string& key);
  template <typename T>
  T Within(const std::string& key, T missing, T lowest, T highest, const char* what);

  std::string owner_;
  std::map<std::string, Value> values_;
  std::string known_;  // the keys asked for, listed in the message
};

}  // namespace throng
