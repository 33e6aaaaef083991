// What one of the servers that are asked over HTTP has done, for reports.
#pragma once

#include <cstdint>
#include <string>

namespace throng::llm {

struct ServerStats {
  std::string address;
  uint64_t calls = 0;     // answered
  uint64_t failures = 0;  // attempts that it failed
  uint64_t prompt_tokens = 0;
  uint64_t cached_prompt_tokens = 0;
  uint64_t output_tokens = 0;
  double seconds = 0;  // that the answered calls took, in all
};

}  // namespace throng::llm
