// Writes the headers of tiny models of several architectures, as first inputs for model_fuzz.

#include <cstdio>

#include "model/gguf/gguf.h"
#include "model/testing/tiny_gemma.h"
#include "model/testing/tiny_hybrid.h"
#include "model/testing/tiny_latent.h"
#include "model/testing/tiny_model.h"
#include "seed_file.h"

using namespace throng::model;

namespace {

// Only the header: the fuzzer has weights of its own.
bool WriteHeader(const std::string& path, const std::vector<uint8_t>& bytes) {
  const GgufFile file(bytes, path);
  const auto header = static_cast<size_t>(file.Tensors().front().data.data() - bytes.data());
  return throng::fuzz::WriteSeed(path, {bytes.data(), header});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 2;
  }
  const std::string dir = std::string(argv[1]) + "/";
  const bool written =
      WriteHeader(dir + "llama", TinyModel{.dim = 32, .heads = 2, .kv_heads = 1, .ffn = 32}.Bytes()) &&
      WriteHeader(dir + "yarn",
                  TinyModel{.dim = 32, .rope_scaling = 4, .yarn = true, .rope_factors = true}.Bytes()) &&
      WriteHeader(dir + "experts", TinyModel{.experts = 4}.Bytes()) &&
      WriteHeader(dir + "window", TinyModel{.window = 20}.Bytes()) &&
      WriteHeader(dir + "gemma2", TinyGemma{.architecture = "gemma2"}.Bytes()) &&
      WriteHeader(dir + "gemma3n", TinyGemma{.architecture = "gemma3n"}.Bytes()) &&
      WriteHeader(dir + "gemma4", TinyGemma{}.Bytes()) &&
      WriteHeader(dir + "gemma4-experts", TinyGemma{.experts = true}.Bytes()) &&
      WriteHeader(dir + "latent", TinyLatent{.q_rank = true}.Bytes()) &&
      WriteHeader(dir + "qwen35", TinyHybrid("qwen35moe", TensorType::kQ8_0).Bytes()) &&
      WriteHeader(dir + "lfm2", TinyHybrid("lfm2", TensorType::kQ8_0).Bytes()) &&
      WriteHeader(dir + "falcon-h1", TinyHybrid("falcon-h1", TensorType::kQ8_0).Bytes());
  return written ? 0 : 1;
}
