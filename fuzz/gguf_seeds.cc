// Writes small valid GGUF files, as first inputs for gguf_fuzz.

#include <cstdio>

#include "model/gguf/gguf_writer.h"
#include "seed_file.h"
#include "vocabularies.h"

using namespace throng::model;

namespace {

std::vector<uint8_t> MakeFile(const TokenizerData& data, const char* chat_template) {
  GgufWriter writer;
  writer.Add("general.architecture", "llama");
  writer.Add("llama.block_count", 1u);
  writer.Add("llama.rope.freq_base", 10000.0f);
  writer.Add("tokenizer.ggml.model", data.model);
  if (!data.pre.empty()) writer.Add("tokenizer.ggml.pre", data.pre);
  writer.Add("tokenizer.ggml.tokens", data.tokens);
  std::vector<int32_t> types;
  for (const TokenType type : data.types) types.push_back(static_cast<int32_t>(type));
  writer.Add("tokenizer.ggml.token_type", types);
  if (data.model == "llama") writer.Add("tokenizer.ggml.scores", data.scores);
  if (data.model == "gpt2") writer.Add("tokenizer.ggml.merges", data.merges);
  if (data.bos >= 0) writer.Add("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(data.bos));
  if (data.unknown >= 0) writer.Add("tokenizer.ggml.unknown_token_id", static_cast<uint32_t>(data.unknown));
  writer.Add("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(data.eos));
  writer.Add("tokenizer.ggml.add_bos_token", true);
  writer.Add("tokenizer.chat_template", chat_template);
  const std::vector<uint8_t> weights(4 * 32 * sizeof(float));
  const uint64_t dims[] = {32, 4};
  writer.AddTensor("token_embd.weight", TensorType::kF32, dims, weights);
  return writer.Finish();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 2;
  }
  const std::string dir = std::string(argv[1]) + "/";
  const bool written =
      throng::fuzz::WriteSeed(dir + "bpe.gguf",
                              MakeFile(throng::fuzz::ByteVocabulary("llama-bpe"), "<|im_start|>")) &&
      throng::fuzz::WriteSeed(dir + "spm.gguf",
                              MakeFile(throng::fuzz::SentencePieceVocabulary(), "[INST] <<SYS>> [/INST]"));
  return written ? 0 : 1;
}
