// Finds where a text occurs in what happened, was asked and was answered.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "journal/journal.h"

namespace throng::journal {

struct Hit {
  int64_t step;
  int64_t agent;
  std::optional<int64_t> call;  // none: an event
  std::string what;             // the event's kind, or what the call is for
  std::string excerpt;          // around the first place, UTF-8
};

// The first `most` events and the first `most` calls (in answer, error or prompt) that hold `text`, which is
// not empty, each by step and agent. Letters of ASCII match in either case.
std::vector<Hit> Find(const Journal& journal, std::string_view text, int64_t most);

}  // namespace throng::journal
