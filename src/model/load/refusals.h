// What a file asks for and is not computed, or lacks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace throng::model {

// Refuses at once, by throwing, or gathers: for those who want to know all of it and compute nothing.
class Refusals {
 public:
  explicit Refusals(bool gathers = false) : gathers_(gathers) {}

  // Throws the error unless this gathers. Then the caller goes on with something that is safe to build with.
  void Add(const Error& error) {
    if (!gathers_) throw error;
    errors_.push_back(error);
  }
  const std::vector<Error>& Errors() const { return errors_; }

 private:
  const bool gathers_;
  std::vector<Error> errors_;
};

// "tensor a is", "tensors a, b and c are", "tensors a, b, ... and 20 more are". kind: "tensor".
std::string NamesAre(std::string_view kind, const std::vector<std::string_view>& names);

}  // namespace throng::model
