// The table of architectures: for each name in files, the function that builds its layers from blocks.
#pragma once

#include <span>

namespace throng::model {

class GgufFile;
class ModelBuilder;

struct Architecture {
  const char* name;  // general.architecture
  void (*build)(ModelBuilder& builder);
};

// Those of one family, in a file of their own each.
std::span<const Architecture> LlamaArchitectures();
std::span<const Architecture> Llama4Architectures();
std::span<const Architecture> QwenArchitectures();
std::span<const Architecture> PhiArchitectures();
std::span<const Architecture> GemmaArchitectures();
std::span<const Architecture> GraniteArchitectures();
std::span<const Architecture> GlmArchitectures();
std::span<const Architecture> ErnieArchitectures();
std::span<const Architecture> OlmoArchitectures();
std::span<const Architecture> CohereArchitectures();
std::span<const Architecture> GptArchitectures();
std::span<const Architecture> DeepSeekArchitectures();
std::span<const Architecture> Qwen35Architectures();
std::span<const Architecture> Lfm2Architectures();
std::span<const Architecture> GraniteHybridArchitectures();
std::span<const Architecture> FalconH1Architectures();

// Throws kUnsupported for an architecture that no table has.
const Architecture& FindArchitecture(const GgufFile& file);

}  // namespace throng::model
