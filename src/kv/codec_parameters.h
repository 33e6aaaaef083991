// The parameters of a codec specification, "r=4,s=2%": parsed, typed, and complained about.
#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

namespace throng::kv {

class CodecParameters {
 public:
  // text: "key=value,key=value" or empty; codec: its name, for messages. Throws kInvalid if the form is
  // wrong.
  CodecParameters(std::string_view codec, std::string_view text);

  // The value of a key, or the default if it is not given. Throw kInvalid if it is no number or out of range.
  int Int(const std::string& key, int missing, int lowest, int highest);
  double Fraction(const std::string& key, double missing, double lowest, double highest);  // "2%" or "0.02"
  // The index of the value among those allowed; 0 if the key is not given.
  int Choice(const std::string& key, std::initializer_list<std::string_view> allowed);
  // One or more digits of those allowed; empty if the key is not given.
  std::string Digits(const std::string& key, std::string_view allowed);

  // Throws kInvalid if a key was given that nobody asked for.
  void CheckAllUsed() const;

 private:
  struct Value {
    std::string text;
    bool used = false;
  };
  const std::string* Find(const std::string& key);
  std::string codec_;
  std::map<std::string, Value> values_;
  std::string known_;  // keys asked for, for the message
};

}  // namespace throng::kv
