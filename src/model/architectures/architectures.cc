#include "model/architectures/architectures.h"

#include <string>

#include "base/error.h"
#include "model/gguf/gguf.h"

namespace throng::model {

const Architecture& FindArchitecture(const GgufFile& file) {
  const std::string_view name = file.String("general.architecture");
  std::string known;
  for (const auto& family :
       {LlamaArchitectures(), Llama4Architectures(), QwenArchitectures(), Qwen35Architectures(),
        PhiArchitectures(), GemmaArchitectures(), GraniteArchitectures(), GlmArchitectures(),
        ErnieArchitectures(), OlmoArchitectures(), CohereArchitectures(), GptArchitectures(),
        DeepSeekArchitectures(), Lfm2Architectures(), FalconH1Architectures()}) {
    for (const Architecture& architecture : family) {
      if (name == architecture.name) return architecture;
      known += fmt::format(" {}", architecture.name);
    }
  }
  throw MakeError(ErrorCode::kUnsupported, "{}: architecture '{}' is not supported; these are:{}",
                  file.Name(), name.substr(0, 40), known);
}

}  // namespace throng::model
