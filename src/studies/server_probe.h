// `throng bench server`: what the latency model makes of a server over the network.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace throng::studies {

struct ProbeFlags {
  std::string url;              // one server
  int batch = 128;              // most sequences that it runs at once
  int chunk = 512;              // tokens of a pass
  int64_t kv_tokens = 1 << 30;  // room for contexts
  bool mixed = true;            // prompts and decoding share passes
  int longest_prompt = 1024;    // tokens of the longest prompt that is timed
  std::function<void(const std::string&)> on_progress;
};

// Asks the server for some minutes at most, as if it had nothing else to do, and fits the model's parameters
// to it. Returns {"server", "model", "latency": parameters of LatencyOptions, "tokens_per_word",
// "request_ms", "kv_us", "attend_us", "passes": [[tokens, ms]]}; such a file is a preset
// (llm/backends/latency_presets.h). Throws what the server fails with.
nlohmann::ordered_json ProbeServer(const ProbeFlags& flags);

}  // namespace throng::studies
