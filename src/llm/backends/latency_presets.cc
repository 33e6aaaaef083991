#include "llm/backends/latency_presets.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace throng::llm {
namespace {

constexpr const char* kLlama8bL4 =
    "weights_ms=58,token_ms=0.33,kv_us=0.44,overhead_ms=3,kv_tokens=39000,chunk=8192";
constexpr const char* kLlama70b4A100 =
    "weights_ms=18.8,token_ms=0.28,kv_us=0.04,overhead_ms=6,kv_tokens=400000,chunk=8192";
constexpr const char* kMixtral2A100 =
    "weights_ms=24.9,active=0.28,token_ms=0.11,kv_us=0.032,overhead_ms=4.3,kv_tokens=380000,chunk=8192";

std::string ReadPreset(std::ifstream& file, const std::string& path) {
  const nlohmann::json json = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("latency") || !json["latency"].is_string()) {
    throw MakeError(ErrorCode::kInvalid,
                    "{}: it has no \"latency\" with the parameters of a server; throng bench server --out "
                    "writes such files",
                    path);
  }
  return json["latency"].get<std::string>();
}

}  // namespace

// The first equals the defaults of LatencyOptions. A model that fits one GPU is served by replicas: cards
// linked only by PCIe would pay for tensor parallelism at every layer.
const std::vector<LatencyPreset>& LatencyPresets() {
  static const std::vector<LatencyPreset> presets = {
      {"llama3-8b-1xl4", kLlama8bL4, 1, "Llama-3-8B, one L4"},
      {"llama3-8b-2xl4", kLlama8bL4, 2, "Llama-3-8B, 2 L4, data-parallel"},
      {"llama3-8b-4xl4", kLlama8bL4, 4, "Llama-3-8B, 4 L4, data-parallel"},
      {"llama3-8b-8xl4", kLlama8bL4, 8, "Llama-3-8B, 8 L4, data-parallel"},
      {"llama3-70b-4xa100", kLlama70b4A100, 1, "Llama-3-70B, 4 A100 80 GB, tensor-parallel"},
      {"llama3-70b-8xa100", kLlama70b4A100, 2, "Llama-3-70B, 8 A100 80 GB, 2 replicas of 4"},
      {"mixtral-8xa100", kMixtral2A100, 4, "Mixtral 8x7B, 8 A100 80 GB, 4 replicas of 2"},
  };
  return presets;
}

std::string PresetParameters(std::string_view name) {
  std::vector<std::string_view> names;
  for (const LatencyPreset& preset : LatencyPresets()) {
    if (preset.name == name) return fmt::format("{},replicas={}", preset.server, preset.replicas);
    names.emplace_back(preset.name);
  }
  const std::string path(name);
  if (std::ifstream file(path); file && !std::filesystem::is_directory(path)) return ReadPreset(file, path);
  throw MakeError(ErrorCode::kInvalid,
                  "--preset {}: allowed: {} this-machine, or a file of throng bench server --out", name,
                  fmt::join(names, " "));
}

}  // namespace throng::llm
