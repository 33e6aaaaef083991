// --preset: a model of a server by name, for commands that run in virtual time.
#pragma once

#include <string>

namespace throng::studies {

// "latency:key=value,..." for that name. "this-machine" runs the local engine with the embedded model for
// some seconds and prints what it measured. Throws kInvalid, naming the presets.
std::string ServerOf(const std::string& preset);

// For --help.
std::string PresetHelp();

}  // namespace throng::studies
