// What the endpoints of Ollama's API have in common.
#pragma once

#include <cstdint>
#include <string>

namespace throng::serve {

// "2026-11-30T16:00:00Z"
std::string OllamaTime(int64_t seconds_since_1970);

}  // namespace throng::serve
