// For tests: a backend or decorator with a caller that numbers its requests from 1.
#pragma once

#include <cstdint>
#include <utility>

#include "llm/llm.h"

namespace throng::llm {

template <typename Base>
class Numbered final : public Base {
 public:
  using Base::Base;

  // Returns the id.
  uint64_t Send(Request request) {
    request.id = ++last_id_;
    Base::Submit(std::move(request));
    return last_id_;
  }

 private:
  uint64_t last_id_ = 0;
};

}  // namespace throng::llm
