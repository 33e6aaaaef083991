// --preset: models of servers by name, for commands that run in virtual time.
#pragma once

#include <string>

namespace throng::studies {

// Returns "latency:key=value,..." for the preset. "this-machine" runs the local engine with the embedded
// model for some seconds and prints what it measured. Throws kInvalid, naming the presets.
std::string ServerOf(const std::string& preset);

// Lists the presets for --help.
std::string PresetHelp();

}  // namespace throng::studies
