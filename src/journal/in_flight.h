// What a run waits for, as it tells those who watch it from another process.
#pragma once

#include <optional>
#include <string>

#include "llm/llm.h"

namespace throng::journal {

struct CallInFlight {
  llm::CallKey key;
  std::string function;
  double issued_s;                          // on the backend's clock
  std::optional<double> arrived_s{};        // of a guess: it is answered, and its step has not asked it yet
  bool is_guess = false;                    // no confirmed step waits for it
  std::optional<llm::Standing> standing{};  // if the backend knows
};

}  // namespace throng::journal
