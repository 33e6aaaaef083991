// --preset: models of servers by name, for commands that run in virtual time.
#pragma once

#include <string>

#include "engine/local_options.h"

namespace throng::studies {

// Returns "latency:key=value,..." for the preset. "this-machine" runs MeasureServer with the embedded
// model and prints what it measured. Throws kInvalid, naming the presets.
std::string ServerOf(const std::string& preset);

// Runs the model in this process for some seconds, and says which --llm models that: forward passes of 1 to
// 256 tokens, what a token of context takes, and a prefix cache. Throws what LocalModel throws.
std::string MeasureServer(engine::LocalOptions options);

// Lists the presets for --help.
std::string PresetHelp();

}  // namespace throng::studies
