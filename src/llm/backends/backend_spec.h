// The backends that a user can name on a command line.
#pragma once

#include <memory>
#include <string>

#include "llm/llm.h"

namespace throng::llm {

// "fake[:OPTIONS]", "latency[:OPTIONS]", "replay:FILE", "http://HOST:PORT[/PATH][?OPTIONS]" or https; OPTIONS
// are key=value pairs (fake.h, latency.h, http.h). "local", the engine of this process, is made by whoever
// has one. Throws kInvalid naming what is allowed, and what the backends throw.
std::unique_ptr<Llm> MakeBackend(const std::string& spec);

// For --help, a line per backend.
std::string BackendHelp();

}  // namespace throng::llm
