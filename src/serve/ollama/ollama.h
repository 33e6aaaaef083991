// What the endpoints of Ollama's API have in common.
#pragma once

#include <cstdint>
#include <string>

#include "engine/local_model.h"

namespace throng::serve {

// "2026-11-30T16:00:00Z"
std::string OllamaTime(int64_t seconds_since_1970);

// With a tag, as all names of Ollama's have one: some clients add it, and then look for it.
std::string OllamaName(const engine::LocalModel& model);

}  // namespace throng::serve
