// Writes the headers of tiny models of several architectures, as first inputs for model_fuzz.

#include <cstdio>

#include "model/gguf/gguf.h"
#include "model/testing/tiny_gemma.h"
#include "model/testing/tiny_hybrid.h"
#include "model/testing/tiny_latent.h"
#include "model/testing/tiny_model.h"

using namespace throng::model;

namespace {

bool Write(const std::string& path, const std::vector<uint8_t>& bytes) {
  const GgufFile file(bytes, path);
  const auto header = static_cast<size_t>(file.Tensors().front().data.data() - bytes.data());
  std::FILE* out = std::fopen(path.c_str(), "wb");
  if (out == nullptr) return false;
  const bool written = std::fwrite(bytes.data(), 1, header, out) == header;
  return std::fclose(out) == 0 && written;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 2;
  }
  const std::string dir = std::string(argv[1]) + "/";
  const bool written =
      Write(dir + "llama", TinyModel{.dim = 32, .heads = 2, .kv_heads = 1, .ffn = 32}.Bytes()) &&
      Write(dir + "yarn",
            TinyModel{.dim = 32, .rope_scaling = 4, .yarn = true, .rope_factors = true}.Bytes()) &&
      Write(dir + "experts", TinyModel{.experts = 4}.Bytes()) &&
      Write(dir + "window", TinyModel{.window = 20}.Bytes()) &&
      Write(dir + "gemma2", TinyGemma{.architecture = "gemma2"}.Bytes()) &&
      Write(dir + "gemma3n", TinyGemma{.architecture = "gemma3n"}.Bytes()) &&
      Write(dir + "gemma4", TinyGemma{}.Bytes()) &&
      Write(dir + "gemma4-experts", TinyGemma{.experts = true}.Bytes()) &&
      Write(dir + "latent", TinyLatent{.q_rank = true}.Bytes()) &&
      Write(dir + "qwen35", TinyHybrid("qwen35moe", TensorType::kQ8_0).Bytes()) &&
      Write(dir + "lfm2", TinyHybrid("lfm2", TensorType::kQ8_0).Bytes()) &&
      Write(dir + "falcon-h1", TinyHybrid("falcon-h1", TensorType::kQ8_0).Bytes());
  return written ? 0 : 1;
}
