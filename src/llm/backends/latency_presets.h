// Servers by name: parameters of the latency model (latency.h) from public figures. docs/latency.md derives
// each number.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace throng::llm {

struct LatencyPreset {
  const char* name;
  const char* server;  // parameters of LatencyOptions, of one replica
  int replicas;
  const char* what;
};

const std::vector<LatencyPreset>& LatencyPresets();

// The parameters of the named preset, or of a file that `throng bench server --out` wrote: a JSON object
// whose "latency" has them. Throws kInvalid, naming the presets that exist, or what is wrong with the file.
std::string PresetParameters(std::string_view name);

}  // namespace throng::llm
