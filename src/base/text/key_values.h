// What users write after a name, "key=value,key=value": parsed, typed, and refused with one sentence.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

namespace throng {

// "gear2:r=4,s=2%" has the name gear2; what follows the colon is for KeyValues, and may be empty.
struct NamedValues {
  std::string_view name;
  std::string_view values;
};
NamedValues SplitName(std::string_view text);

class KeyValues {
 public:
  // `owner` begins each message, such as "codec gear2". Throws kInvalid if the form is wrong or a key is
  // given twice.
  KeyValues(std::string_view owner, std::string_view text, char separator = ',');

  // The value of a key, or `missing` if it is not given. All throw kInvalid for what they do not allow.
  int Int(const std::string& key, int missing, int lowest, int highest);
  int64_t Int64(const std::string& key, int64_t missing, int64_t lowest, int64_t highest);
  uint64_t Uint64(const std::string& key, uint64_t missing);
  double Number(const std::string& key, double missing, double lowest, double highest);
  double Fraction(const std::string& key, double missing, double lowest, double highest);  // "2%" or "0.02"
  bool Flag(const std::string& key, bool missing);                                         // "0" or "1"
  std::string Text(const std::string& key, const std::string& missing);
  // The index of the value among those allowed; 0 if the key is not given.
  int Choice(const std::string& key, std::initializer_list<std::string_view> allowed);
  // One or more of the allowed digits; empty if the key is not given.
  std::string Digits(const std::string& key, std::string_view allowed);

  // Throws kInvalid if a key was given that nobody asked for.
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
  std::string known_;  // keys asked for, for the message
};

}  // namespace throng
